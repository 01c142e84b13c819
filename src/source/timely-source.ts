import { type TokenSource, TransportError } from '../token/index.ts'
import { type Clock, withDeadline } from '../util/index.ts'

/** What a {@link timelySource} needs. */
export interface TimelySourceOptions {
  readonly clock: Clock
  /** How long everything together may take: metadata, client authentication, all tries. */
  readonly deadlineMs: number
  /** Whose token it is, for the message. */
  readonly subject: string
}

/** A source that answers in time or throws a TransportError with code `timeout`, whatever hangs below it. */
export function timelySource(inner: TokenSource, { clock, deadlineMs, subject }: TimelySourceOptions): TokenSource {
  const error = (): Error =>
    new TransportError(`${subject}: expected a token within ${deadlineMs} ms, got none`, {
      code: 'timeout',
      retryable: true,
      ambiguous: true,
    })
  return {
    getToken: (options) =>
      withDeadline((late) => inner.getToken({ ...options, signal: either(late, options?.signal) }), {
        clock,
        ms: deadlineMs,
        error,
      }),
  }
}

function either(late: AbortSignal, signal: AbortSignal | undefined): AbortSignal {
  return signal === undefined ? late : AbortSignal.any([late, signal])
}
