import type { RequestTarget } from '../resource/index.ts'
import { ConfigurationError, isEvertokenError, type TokenRequest } from '../token/index.ts'
import type { Awaitable } from '../util/index.ts'

/** The request to an API that a token is wanted for. */
export interface OutgoingRequest {
  readonly clientName: string
  readonly method: string
  readonly url: URL
  /** The caller's headers; changes are not sent. */
  readonly headers: Headers
  /** The token request as the authorizer or `fetch` was made with. */
  readonly request: TokenRequest
}

/** Chooses the token request for one outgoing request: a tenant by host name, say. */
export type RequestCustomizer = (outgoing: OutgoingRequest) => Awaitable<TokenRequest>

/** What a customiser is shown of a request: copies. */
export function outgoingRequest(
  { method, url, headers }: RequestTarget,
  { clientName, request = {} }: { readonly clientName: string; readonly request: TokenRequest | undefined },
): OutgoingRequest {
  return { clientName, method, url: new URL(url), headers: new Headers(headers), request }
}

/**
 * Does something with the answer of a customiser.
 *
 * @throws ConfigurationError with code `customizer_failed` for an error of the customiser; errors of this library as they are.
 */
export async function withCustomizer<T>(clientName: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (isEvertokenError(cause)) throw cause
    throw new ConfigurationError(`client "${clientName}": expected customizeRequest to work, got an error`, {
      code: 'customizer_failed',
      cause,
    })
  }
}
