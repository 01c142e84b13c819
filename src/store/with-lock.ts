/** What a lock tells a task of its turn. */
export interface Turn {
  /** Nobody else has had a turn since this one was asked for: what was known then is still so. Left out where the lock cannot tell. */
  readonly isFirst?: boolean | undefined
}

/** What a caller may say about one turn at a lock. */
export interface WithLockOptions<T = unknown> {
  /** Ends the waiting for the lock; a task that has begun is not touched. */
  readonly signal?: AbortSignal | undefined
  /**
   * Told once when the lock cannot be said to be held any more while the task still runs, or when that comes out at its
   * end. The task goes on: what it has asked a server for cannot be taken back. It has to write with care.
   */
  readonly onLost?: (() => void) | undefined
  /**
   * Asked now and then while somebody else holds the lock: what it gives is the result, and no turn is needed any more. A lock need not ask, and
   * waits for the answer no longer than for its turn.
   */
  readonly meanwhile?: (() => Promise<T | undefined>) | undefined
}

/**
 * The port for every lock: runs a task while nobody else runs one under the same name, and gives its result. In process
 * by default; on Redis where several processes share tokens. A lease is renewed while the task runs.
 *
 * A name is not taken twice: a task that asks for its own name waits for itself.
 */
export type WithLock = <T>(name: string, task: (turn?: Turn) => Promise<T>, options?: WithLockOptions<T>) => Promise<T>
