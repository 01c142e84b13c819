/** The longest interval that there is: nothing is to happen. */
const LONGEST_MS = 2 ** 31 - 1

/**
 * Keeps the process alive until the returned function is called. Timers of a clock do not: a program that has nothing to do but to wait for
 * one of them would end without having had what it waits for.
 */
export function stayAlive(): () => void {
  const interval = setInterval(() => {}, LONGEST_MS)
  return () => clearInterval(interval)
}
