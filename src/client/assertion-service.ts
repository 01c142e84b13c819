import { type ClientAuthentication, type ClientIdentity, clientAssertion } from '../oauth/index.ts'
import type { ClientAssertion, TokenRequest } from '../token/index.ts'
import type { Awaitable, Clock } from '../util/index.ts'

/** What a {@link ClientAssertionService} is told. */
export interface ClientAssertionContext extends ClientIdentity {
  /** The token request, `context` included. */
  readonly request: TokenRequest
  readonly signal?: AbortSignal | undefined
  /** Where the dates of an assertion come from: it follows the server's clock where that is known to differ. */
  readonly clock?: Clock | undefined
}

/** Makes client assertions for many clients in one place; `undefined` means "not my client". Asked for every attempt. */
export type ClientAssertionService = (context: ClientAssertionContext) => Awaitable<ClientAssertion | undefined>

/** What can prove the client for one request, first come first served. */
export interface Proofs {
  readonly request: TokenRequest
  readonly service: ClientAssertionService | undefined
  readonly own: ClientAuthentication
}

/** Exactly one client authentication: the request's assertion, else the central service's, else the client's own. */
export function authenticationFor({ request, service, own }: Proofs): ClientAuthentication {
  if (request.clientAssertion !== undefined) return clientAssertion(request.clientAssertion)
  if (service === undefined) return own
  return {
    method: own.method,
    async apply(draft, client, options) {
      const made = await service({ ...client, request, signal: options?.signal, clock: options?.clock })
      const chosen = made === undefined || made === null ? own : clientAssertion(made)
      return chosen.apply(draft, client, options)
    },
  }
}
