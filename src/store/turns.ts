/** Gives the result of each piece of work in the order in which they were handed in, and after those before it. */
export type InTurn = <T>(work: Promise<T>) => Promise<T>

/** Keeps the order of work that runs at the same time: what a pool of threads finishes first may have been asked for last. */
export function createTurns(): InTurn {
  let last: Promise<unknown> = Promise.resolve()
  return async (work) => {
    // Settles with nothing, or it would hold every result since the first.
    last = Promise.allSettled([last, work]).then(() => {})
    await last
    return work
  }
}
