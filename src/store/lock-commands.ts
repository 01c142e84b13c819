/** Whether a lock was taken, and whether nobody else had it in the time of a lease before. */
export type Acquired = 'first' | 'next' | undefined

/**
 * One lock outside this process as one owner sees it; `renew` and `release` answer whether the lock was that owner's. A signal that aborts
 * says that nobody waits for the answer any more.
 */
export interface LockCommands {
  /** Waits before each `acquire` for what this process has to have for it, such as a place at a pool; gives up when the signal aborts. */
  readonly enter?: ((deadline: AbortSignal) => Promise<void>) | undefined
  acquire(deadline: AbortSignal): Promise<Acquired>
  renew(deadline: AbortSignal): Promise<boolean>
  release(deadline: AbortSignal): Promise<boolean>
  /** Aborts as soon as a lock that was taken is known to be gone, where that is told without asking. */
  readonly gone?: AbortSignal | undefined
}
