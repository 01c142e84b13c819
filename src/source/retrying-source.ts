import { isEvertokenError, TokenEndpointError, type TokenSource, TransportError } from '../token/index.ts'
import { type Clock, delay, type Random } from '../util/index.ts'

/** What a {@link retryingSource} needs. */
export interface RetryingSourceOptions {
  readonly clock: Clock
  readonly random: Random
}

/** Tries beyond the first. */
const RETRIES = 2
const FIRST_PAUSE_MS = 200

/**
 * Tries again what a passing fault has spoilt: at once when a connection was lost, after a short random pause when the server
 * failed. Only for grants that may be repeated, such as client credentials.
 */
export function retryingSource(inner: TokenSource, { clock, random }: RetryingSourceOptions): TokenSource {
  return {
    async getToken(options) {
      for (let tries = 0; ; tries++) {
        try {
          return await inner.getToken(options)
        } catch (error) {
          const pauseMs = retryPause(error, tries, random)
          if (pauseMs === undefined || options?.signal?.aborted) throw error
          if (pauseMs > 0) await delay(clock, pauseMs, options?.signal)
        }
      }
    },
  }
}

/** How long to wait before the next try; `undefined` when there is none. */
function retryPause(error: unknown, tries: number, random: Random): number | undefined {
  if (tries >= RETRIES || !isEvertokenError(error) || !error.retryable) return undefined
  if (error instanceof TransportError) return error.code === 'connection_lost' ? 0 : undefined
  // A server that names a time, or asks for patience, is left alone: the caller's back-off keeps to that.
  const isServerFailure = error instanceof TokenEndpointError && error.status >= 500 && error.retryAt === undefined
  return isServerFailure ? random() * FIRST_PAUSE_MS * 2 ** tries : undefined
}
