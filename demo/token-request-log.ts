import type { IncomingHttpHeaders } from 'node:http'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import type { KoaContextWithOIDC } from 'oidc-provider'

/** A token request as the server saw it; nothing secret. */
export interface SeenTokenRequest {
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly clientId: string
  readonly scope: string | undefined
  readonly resource: unknown
  /** How the client authenticated on the wire, by its IANA names. More than one is against RFC 6749 section 2.3. */
  readonly authentication: readonly string[]
  /** What else was in the body, without secrets and assertions. */
  readonly parameters: Readonly<Record<string, unknown>>
  readonly assertion: SeenAssertion | undefined
  readonly status: number
  readonly issued: IssuedToken | undefined
}

/** A client assertion as the server saw it, without its signature. */
export interface SeenAssertion {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
}

/** What an access token was issued for. */
export interface IssuedToken {
  readonly jti: string
  readonly clientId: string | undefined
  readonly scope: string | undefined
  readonly resource: string | undefined
}

const SECRET_PARAMETERS = new Set(['client_secret', 'client_assertion'])

/** What is looked at of the provider's context. */
interface AnsweredContext {
  readonly headers: IncomingHttpHeaders
  readonly status: number
  readonly oidc?: KoaContextWithOIDC['oidc']
}

/** Reads a token request off the context that answered it. */
export function seenTokenRequest({ headers, oidc, status }: AnsweredContext): SeenTokenRequest {
  const body = oidc?.body ?? {}
  const assertion = assertionFrom(body.client_assertion)
  const authentication = [
    headers.authorization !== undefined && 'client_secret_basic',
    body.client_secret !== undefined && 'client_secret_post',
    assertion !== undefined && (/^HS/.test(String(assertion.header.alg)) ? 'client_secret_jwt' : 'private_key_jwt'),
  ].filter((method) => method !== false)
  return {
    at: Date.now(),
    clientId: oidc?.client?.clientId ?? String(body.client_id ?? ''),
    scope: body.scope === undefined ? undefined : String(body.scope),
    resource: body.resource,
    authentication: authentication.length === 0 ? ['none'] : authentication,
    parameters: Object.fromEntries(Object.entries(body).filter(([name]) => !SECRET_PARAMETERS.has(name))),
    assertion,
    status,
    issued: status === 200 ? oidc && issuedToken(oidc) : undefined,
  }
}

function assertionFrom(jwt: unknown): SeenAssertion | undefined {
  if (typeof jwt !== 'string') return undefined
  try {
    return { header: { ...decodeProtectedHeader(jwt) }, claims: decodeJwt(jwt) }
  } catch {
    // Not a JWT: the server refuses it, the log tells that one was there.
    return { header: {}, claims: {} }
  }
}

function issuedToken({ entities }: KoaContextWithOIDC['oidc']): IssuedToken | undefined {
  const token = entities.ClientCredentials
  if (token === undefined) return undefined
  const { jti, clientId, scope, resourceServer } = token
  return { jti, clientId, scope, resource: resourceServer?.identifier() }
}
