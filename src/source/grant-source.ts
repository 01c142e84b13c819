import { type ClientAuthentication, type OAuthClient, requestToken } from '../oauth/index.ts'
import type { TokenSource } from '../token/index.ts'

/** A grant without its proof of identity: what goes into the body of the token request. */
export interface Grant {
  readonly grantType: string
  readonly scope?: string | undefined
  readonly resource?: readonly string[] | undefined
  readonly parameters?: Readonly<Record<string, string>> | undefined
  /** Thumbprint of the key that the token is to be bound to (RFC 9449 section 5). */
  readonly jkt?: string | undefined
}

/** A source that asks the token endpoint every time (RFC 6749 section 3.2). */
export function grantSource(client: OAuthClient, grant: Grant, authentication: ClientAuthentication): TokenSource {
  const { grantType, scope, jkt } = grant
  return {
    async getToken({ signal = new AbortController().signal } = {}) {
      const parameters = wireParameters(grant)
      return (await requestToken(client, { grantType, parameters, scope, jkt, authentication, signal })).token
    },
  }
}

/** Empty values are left out (RFC 6749 section 3.2); several resources are repeated (RFC 8707 section 2). */
function wireParameters({ scope, resource = [], parameters = {} }: Grant): URLSearchParams {
  const wire = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value !== '') wire.append(name, value)
  if (scope !== undefined && scope !== '') wire.set('scope', scope)
  for (const value of resource) wire.append('resource', value)
  return wire
}
