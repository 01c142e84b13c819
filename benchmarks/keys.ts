import { createTokenManager, type Invalidations, localLock, memoryStore } from 'evertoken'
import type { Figure } from './figures.ts'
import { clientAt } from './loopback.ts'
import { collect } from './rounds.ts'

const KEYS = 1_000_000
const ROUNDS = 5
const ENTRIES = 10_000
const AT_ONCE = 200
const RATIO = 1.1

/** A million different requests through a manager that keeps ten thousand, with a store, a lock and news beside it. */
export async function keys(): Promise<readonly Figure[]> {
  const invalidations: Invalidations = { publish: () => {}, subscribe: () => () => {} }
  let issued = 0
  const manager = createTokenManager({
    clients: { main: clientAt('https://as.example/token') },
    maxEntries: ENTRIES,
    store: memoryStore({ maxEntries: ENTRIES }),
    lock: localLock(),
    invalidations,
    fetch: async () => Response.json({ access_token: `token-${++issued}`, token_type: 'Bearer', expires_in: 3600 }),
  })
  let next = 0
  async function lane(until: number): Promise<void> {
    while (next < until) await manager.getToken('main', { partition: `tenant-${next++}` })
  }
  const heaps: number[] = []
  for (let round = 1; round <= ROUNDS; round++) {
    const until = (KEYS / ROUNDS) * round
    await Promise.all(Array.from({ length: AT_ONCE }, () => lane(until)))
    heaps.push(await settledHeap())
  }
  await manager.close()
  const [first = Number.NaN] = heaps
  const most = Math.max(...heaps)
  return [
    {
      what: `a million keys: heap at its fullest, beside that after ${(KEYS / ROUNDS / 1000).toFixed(0)},000`,
      ours: megabytes(most),
      floor: megabytes(first),
      ratio: most / first,
      limit: `ratio ${RATIO}`,
      isWithin: most / first <= RATIO,
    },
  ]
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MB`
}

async function settledHeap(): Promise<number> {
  // What is held weakly goes when a turn has ended.
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    collect()
  }
  return process.memoryUsage().heapUsed
}
