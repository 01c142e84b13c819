import { LRUCache } from 'lru-cache'
import { createTolerance, type Invalidations } from '../store/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'

/** What the processes that share a store tell each other. */
export interface News {
  /** Takes note of who has to forget what is kept under a name in the store; what is `pinned` is never pushed out. */
  remember(name: string, forget: () => void, pinned: boolean): void
  /** Tells the others that what they have of a name does not count any more; nobody waits for that. */
  tell(name: string): void
  /** Ends the listening. */
  close(): void
}

/** What {@link createNews} needs. */
export interface NewsOptions {
  readonly clock: Clock
  readonly telemetry: Telemetry
  /** So many names are known; those that were not used for longest go. */
  readonly maxEntries: number
}

/** Tells the other processes, and listens to them from when there is something to forget. News that is lost is made up for by the next look into the store. */
export function createNews(invalidations: Invalidations, { clock, telemetry, maxEntries }: NewsOptions): News {
  const known = new LRUCache<string, () => void>({ max: maxEntries })
  const own = new Map<string, () => void>()
  const tolerate = createTolerance({ clock, telemetry, name: 'invalidations' })
  let isClosed = false
  let stop: (() => void) | undefined
  return {
    remember(name, forget, pinned) {
      if (pinned) own.set(name, forget)
      else known.set(name, forget)
      if (!isClosed && stop === undefined) void tolerate('get', listen)
    },
    // News that cannot be told costs nobody a token.
    tell: (name) => void tolerate('set', () => invalidations.publish(name)),
    close() {
      isClosed = true
      try {
        stop?.()
      } catch {
        // Nothing that is told from now on has an effect.
      }
    },
  }

  function listen(): void {
    stop ??= invalidations.subscribe((told) => (own.get(told) ?? known.get(told))?.())
  }
}
