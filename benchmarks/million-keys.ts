import { createTokenManager, localLock, type TokenStore } from 'evertoken'
import type { Figure } from './figures.ts'
import { clientAt } from './loopback.ts'
import { settledBytes } from './rounds.ts'

const KEYS = 1_000_000
/** What is in memory is measured after so many. */
const STRETCH = 200_000
const MAX_ENTRIES = 10_000
const AT_ONCE = 100
const LIMIT = 0.1

/** Keeps nothing, so that only the library's own memory counts here. */
const emptyStore: TokenStore = { get: async () => undefined, set: async () => {}, delete: async () => {} }

/** A million tokens, each in a partition of its own, through a memory of ten thousand, with a store, a lock and news behind it. */
export async function millionKeys(): Promise<readonly Figure[]> {
  let tokens = 0
  const manager = createTokenManager({
    clients: { main: clientAt('https://as.example/token') },
    maxEntries: MAX_ENTRIES,
    fetch: async () => Response.json({ access_token: `token-${++tokens}`, token_type: 'Bearer', expires_in: 3600 }),
    store: emptyStore,
    lock: localLock(),
    invalidations: { publish: async () => {}, subscribe: () => () => {} },
  })
  let next = 0
  async function lane(until: number): Promise<void> {
    while (next < until) await manager.getToken('main', { partition: `tenant-${next++}` })
  }
  const heaps: number[] = []
  for (let until = STRETCH; until <= KEYS; until += STRETCH) {
    await Promise.all(Array.from({ length: AT_ONCE }, () => lane(until)))
    heaps.push(await settledBytes())
  }
  await manager.close()
  const [first = Number.NaN, ...later] = heaps
  const last = later.at(-1) ?? Number.NaN
  const growth = Math.max(...later) / first - 1
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
  return [
    {
      what: `${KEYS / 1e6} million keys through ${MAX_ENTRIES} entries: heap at the end, beside that after a fifth`,
      ours: megabytes(last),
      floor: megabytes(first),
      ratio: last / first,
      limit: `never ratio ${1 + LIMIT}`,
      isWithin: growth <= LIMIT,
    },
  ]
}
