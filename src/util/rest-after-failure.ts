import type { Clock } from './clock.ts'

/** Work that rests after a failure: until it is over callers get the error of before. */
export function restAfterFailure<T>(
  work: () => Promise<T>,
  { clock, ms }: { readonly clock: Clock; readonly ms: number },
): () => Promise<T> {
  let failure: { readonly error: unknown; readonly until: number } | undefined
  return async () => {
    if (failure !== undefined && clock.now() < failure.until) throw failure.error
    try {
      return await work()
    } catch (error) {
      failure = { error, until: clock.now() + ms }
      throw error
    }
  }
}
