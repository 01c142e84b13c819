import { isEvertokenError, TransportError } from '../token/index.ts'
import { type Clock, createCircuitBreaker, createGate } from '../util/index.ts'
import type { BackChannel, BackChannelAnswer } from './back-channel.ts'

/** So many requests are under way to one server: one that hangs is not to have all sockets of this machine. */
const MAX_AT_ONCE = 100

/**
 * A back channel to one server that stops asking while the server is down. Only what is sent counts, and what comes back: what a
 * client does to authenticate is not the server's fault. Of many requests at once some wait their turn.
 */
export function guardedChannel(
  channel: BackChannel,
  { name, clock }: { readonly name: string; readonly clock: Clock },
): BackChannel {
  const breaker = createCircuitBreaker<BackChannelAnswer>({
    clock,
    isOutage: (error) => isEvertokenError(error) && error.retryable,
    // A server that asks for a pause (429) is up.
    isOutageResult: ({ status }) => status >= 500,
    refusal: (cause) =>
      new TransportError(`expected ${name} to be up, got failures only; it is tried again within a second`, {
        code: 'circuit_open',
        retryable: true,
        cause,
      }),
  })
  const gate = createGate(MAX_AT_ONCE)
  return async (url, request) => {
    if (!gate.tryEnter()) await gate.enter(request.signal ?? new AbortController().signal)
    try {
      return await breaker.run(() => channel(url, request))
    } finally {
      gate.leave()
    }
  }
}
