import {
  type ClientDefinition,
  effectiveRequest,
  type OutgoingRequest,
  outgoingRequest,
  withCustomizer,
} from '../client/index.ts'
import type { RequestTarget } from '../resource/index.ts'
import type { TokenRequest } from '../token/index.ts'
import type { Awaitable } from '../util/index.ts'
import type { SessionEnvironment } from './session-environment.ts'

/** A request of a user before it is made: for a token of a source, for one that goes with a request to an API, or for a revocation. */
export type CustomizableRequest =
  | {
      readonly kind: 'token_request' | 'revocation_request'
      readonly clientName: string
      /** As the caller has made it. */
      readonly request: TokenRequest
    }
  | (OutgoingRequest & { readonly kind: 'resource_request' })

/**
 * Chooses the token request for one request of a user. A revocation is told its `parameters`, and what proves the client. What shapes a token makes it another one than that
 * of the sign-in.
 */
export type UserRequestCustomizer = (asked: CustomizableRequest) => Awaitable<TokenRequest>

/**
 * The request that a customiser has chosen, checked.
 *
 * @throws ConfigurationError with code `customizer_failed`, and those of every token request.
 */
export type Customized = (asked: CustomizableRequest) => Promise<TokenRequest>

/** Asks a customiser on behalf of one client. */
export function customizedBy(
  customizeRequest: UserRequestCustomizer,
  { clientName, definition }: { readonly clientName: string; readonly definition: ClientDefinition },
): Customized {
  return (asked) =>
    withCustomizer(clientName, async () => {
      const { original } = effectiveRequest(clientName, definition, await customizeRequest(asked))
      return original
    })
}

/** A request for a token that goes with a request to an API. */
export function resourceRequest(
  target: RequestTarget,
  named: { readonly clientName: string; readonly request: TokenRequest | undefined },
): CustomizableRequest {
  return { kind: 'resource_request', ...outgoingRequest(target, named) }
}

/**
 * The request of a revocation, as the customiser wants it.
 *
 * @throws ConfigurationError as {@link Customized} does.
 */
export async function revocationRequest(
  { customized, oauth }: SessionEnvironment,
  request: TokenRequest | undefined,
): Promise<TokenRequest | undefined> {
  if (customized === undefined) return request
  return customized({ kind: 'revocation_request', clientName: oauth.clientName, request: request ?? {} })
}
