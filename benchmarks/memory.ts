import { randomBytes } from 'node:crypto'
import { createTokenManager } from 'evertoken'
import type { Figure } from './figures.ts'
import { clientAt } from './loopback.ts'
import { settledBytes } from './rounds.ts'

const ENTRIES = 100_000
const AT_ONCE = 100
const LIMIT = 350

/** One kilobyte that shares nothing with any other: parsed, as a token is, from an answer of its own. */
function answer(): string {
  return `{"access_token":"${randomBytes(512).toString('hex')}","token_type":"Bearer","expires_in":3600}`
}

function partition(index: number): string {
  return `tenant-${index}`
}

/** A hundred thousand tokens in one manager. */
export async function memory(): Promise<readonly Figure[]> {
  const before = await bytesOf(strings)
  const ours = await bytesOf(tokens)
  const after = await bytesOf(strings)
  const floor = (before + after) / 2
  const beyond = (ours - floor) / ENTRIES
  return [
    {
      what: '100,000 tokens of 1 KB: bytes for each',
      ours: `${(ours / ENTRIES).toFixed(0)} B`,
      floor: `${(floor / ENTRIES).toFixed(0)} B`,
      limit: `floor + ${LIMIT} B`,
      isWithin: beyond <= LIMIT,
    },
    {
      what: '100,000 tokens of 1 KB: beyond the strings',
      ours: `${beyond.toFixed(0)} B`,
      limit: `${LIMIT} B`,
      isWithin: beyond <= LIMIT,
    },
  ]
}

/** The strings alone: each token, and each name that a token is kept under. */
async function strings(): Promise<unknown> {
  const kept: string[] = new Array(2 * ENTRIES)
  for (let index = 0; index < ENTRIES; index++) {
    kept[2 * index] = (JSON.parse(answer()) as { access_token: string }).access_token
    kept[2 * index + 1] = JSON.parse(JSON.stringify(partition(index))) as string
  }
  return kept
}

async function tokens(): Promise<unknown> {
  const manager = createTokenManager({
    clients: { main: clientAt('https://as.example/token') },
    maxEntries: ENTRIES + 1000,
    fetch: async () => new Response(answer(), { headers: { 'content-type': 'application/json' } }),
  })
  let next = 0
  async function lane(): Promise<void> {
    while (next < ENTRIES) await manager.getToken('main', { partition: partition(next++) })
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
  return manager
}

/** What is kept alive by what `make` gives, on the heap and beside it. */
async function bytesOf(make: () => Promise<unknown>): Promise<number> {
  const before = await settledBytes()
  const kept = { value: (await make()) as unknown }
  const bytes = (await settledBytes()) - before
  // Used after the measurement, so that it lives until then.
  kept.value = undefined
  return bytes
}
