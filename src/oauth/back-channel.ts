import { TokenResponseError } from '../token/index.ts'
import { type Clock, readCapped, redactedUrl } from '../util/index.ts'
import { transportFailure } from './transport-failure.ts'

/** How requests reach the authorization server: directly, through a proxy, with a client certificate. */
export type Fetch = typeof globalThis.fetch

/** The longest body that is read from an authorization server, in bytes after decompression. */
const MAX_BODY_BYTES = 1024 * 1024
/** Statuses for which `Response` takes no body. */
const NULL_BODY = new Set([204, 205, 304])

/** One answer of an authorization server, read to its end. */
export interface BackChannelAnswer {
  readonly status: number
  readonly headers: Headers
  readonly bytes: Uint8Array
  /** When the request left, by {@link Clock.now}. */
  readonly sentAt: number
}

/** Sends one request and reads the whole answer, within limits, following no redirect. */
export type BackChannel = (url: string, init: BackChannelRequest) => Promise<BackChannelAnswer>

/** What the protocol engine asks to be sent. */
export interface BackChannelRequest {
  readonly method: string
  readonly headers: Record<string, string>
  readonly body?: URLSearchParams | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Makes a back channel over a `fetch`.
 *
 * @throws TransportError when no answer comes; TokenResponseError when the answer is a redirect or too long; the signal's reason when it
 * aborts.
 */
export function createBackChannel({ fetch, clock }: { fetch: Fetch | undefined; clock: Clock }): BackChannel {
  return async (url, { method, headers, body, signal }) => {
    const endpoint = redactedUrl(new URL(url))
    const sentAt = clock.now()
    try {
      const response = await (fetch ?? globalThis.fetch)(url, {
        method,
        headers,
        ...(body !== undefined && { body }),
        ...(signal !== undefined && { signal }),
        redirect: 'manual',
      })
      const { status } = response
      if (isRedirect(response)) {
        response.body?.cancel().catch(() => {})
        throw new TokenResponseError(`expected an answer from ${endpoint}, got a redirect (${status})`, {
          code: 'redirect_refused',
          status,
        })
      }
      const bytes = await readCapped(response, MAX_BODY_BYTES, signal)
      if (bytes === undefined) {
        throw new TokenResponseError(`expected at most ${MAX_BODY_BYTES} bytes from ${endpoint}, got more`, {
          code: 'response_too_large',
          status,
        })
      }
      return { status, headers: new Headers(response.headers), bytes, sentAt }
    } catch (error) {
      throw signal?.aborted ? signal.reason : transportFailure(error, endpoint)
    }
  }
}

function isRedirect({ status, type }: Response): boolean {
  return type === 'opaqueredirect' || (status >= 300 && status < 400 && status !== 304)
}

/** The answer as a `Response`, for the protocol engine, without headers that it would take for an error. */
export function toResponse({ status, bytes }: BackChannelAnswer): Response {
  return new Response(NULL_BODY.has(status) ? null : (bytes as Uint8Array<ArrayBuffer>), {
    status,
    headers: { 'content-type': 'application/json' },
  })
}
