import { LRUCache } from 'lru-cache'
import { createTolerance, type Invalidations } from '../store/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'

/** What the processes that share a store tell each other. */
export interface News {
  /** Takes note of who has to forget what is kept under a name in the store. */
  remember(name: string, forget: () => void): void
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

/** Listens to the other processes, and tells them. News that is lost is made up for by the tokens' own end. */
export function createNews(invalidations: Invalidations, { clock, telemetry, maxEntries }: NewsOptions): News {
  const known = new LRUCache<string, () => void>({ max: maxEntries })
  const tolerate = createTolerance({ clock, telemetry, name: 'invalidations' })
  const stop = invalidations.subscribe((name) => known.get(name)?.())
  return {
    remember: (name, forget) => void known.set(name, forget),
    tell: (name) => void tolerate('set', () => invalidations.publish(name)),
    close: stop,
  }
}
