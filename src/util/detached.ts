/** Starts work outside the async context of whoever asks for it. */
export type RunDetached = <T>(work: () => Promise<T>) => Promise<T>

/**
 * Work that several callers share must not carry the request, user or span of the first of them
 * (`AsyncLocalStorage`). An async function resumes in its own context whoever wakes it, so a loop that was started
 * here runs everything that is queued to it in the context of this call.
 */
export function createDetachedRunner(): RunDetached {
  const queue: (() => void)[] = []
  let wake: (() => void) | undefined

  async function loop(): Promise<never> {
    for (;;) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
      for (let job = queue.shift(); job !== undefined; job = queue.shift()) job()
    }
  }
  void loop()

  return <T>(work: () => Promise<T>) =>
    new Promise<T>((resolve, reject) => {
      // An async wrapper, so that work which throws synchronously rejects too and never breaks the loop.
      queue.push(() => {
        ;(async () => work())().then(resolve, reject)
      })
      wake?.()
    })
}
