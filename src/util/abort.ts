import type { Clock } from './clock.ts'
import { stayAlive } from './stay-alive.ts'

/**
 * Waits for work that goes on regardless: an abort ends the waiting, not the work.
 *
 * @throws `signal.reason`, unwrapped, when the signal aborts first.
 */
export function waitFor<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    if (signal.aborted) {
      // Left behind, but not unwatched: its failure is nobody's any more.
      work.catch(() => {})
      return onAbort()
    }
    signal.addEventListener('abort', onAbort, { once: true })
    const stop = (): void => signal.removeEventListener('abort', onAbort)
    work.then(
      (value) => {
        stop()
        resolve(value)
      },
      (error) => {
        stop()
        reject(error)
      },
    )
  })
}

/** How long a piece of work may take, and what is thrown when it takes longer. */
export interface Deadline {
  readonly clock: Clock
  readonly ms: number
  readonly error: () => Error
}

/**
 * Runs work that has to end in time. The signal asks it to stop; work that does not listen is left behind, and the
 * caller is freed all the same.
 */
export async function withDeadline<T>(
  work: (signal: AbortSignal) => Promise<T>,
  { clock, ms, error }: Deadline,
): Promise<T> {
  const controller = new AbortController()
  const cancel = clock.setTimer(() => controller.abort(error()), ms)
  try {
    return await waitFor(work(controller.signal), controller.signal)
  } finally {
    cancel()
  }
}

/** Resolves after a time, or rejects with the signal's reason. A program that has nothing else to do waits for it. */
export function delay(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  const letGo = stayAlive()
  let cancel = (): void => {}
  const elapsed = new Promise<void>((resolve) => {
    cancel = clock.setTimer(resolve, ms)
  })
  return waitFor(elapsed, signal).finally(() => {
    cancel()
    letGo()
  })
}
