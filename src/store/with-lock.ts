/** What a caller may say about one turn at a lock. */
export interface WithLockOptions {
  /** Ends the waiting for the lock; a task that has begun is not touched. */
  readonly signal?: AbortSignal | undefined
  /**
   * Told once when the lock cannot be said to be held any more while the task still runs, or when that comes out at its
   * end. The task goes on: what it has asked a server for cannot be taken back. It has to write with care.
   */
  readonly onLost?: (() => void) | undefined
}

/**
 * The port for every lock: runs a task while nobody else runs one under the same name, and gives its result. In process
 * by default; on Redis where several processes share tokens. A lease is renewed while the task runs.
 *
 * A name is not taken twice: a task that asks for its own name waits for itself.
 */
export type WithLock = <T>(name: string, task: () => Promise<T>, options?: WithLockOptions) => Promise<T>
