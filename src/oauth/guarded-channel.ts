import { isEvertokenError, TransportError } from '../token/index.ts'
import { type Clock, createCircuitBreaker } from '../util/index.ts'
import type { BackChannel, BackChannelAnswer } from './back-channel.ts'

/**
 * A back channel to one server that stops asking while the server is down. Only what is sent counts, and what comes back: what a
 * client does to authenticate is not the server's fault.
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
  return (url, request) => breaker.run(() => channel(url, request))
}
