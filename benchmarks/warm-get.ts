import { createTokenManager, type TokenSource } from 'evertoken'
import { besideFloor } from './beside-floor.ts'
import { type Figure, median } from './figures.ts'
import { clientAt, startLoopback } from './loopback.ts'
import { collect, interleaved } from './rounds.ts'

const TIMED_CALLS = 200_000
/** So few that their garbage fits into the young generation: nothing is collected while it is counted. */
const COUNTED_CALLS = 2_000

interface Held {
  readonly accessToken: string
  readonly expiresAt: number
}

const held = new Map<string, Held>([['main', { accessToken: 'token', expiresAt: Date.now() + 3_600_000 }]])

/** The checked floor: the least that a cache of tokens does. */
async function floor(name: string): Promise<Held | undefined> {
  const token = held.get(name)
  return token !== undefined && Date.now() < token.expiresAt ? token : undefined
}

// One loop for each subject: a shared one would be compiled for all of them, and fast for none.
async function callFloor(calls: number): Promise<void> {
  for (let call = 0; call < calls; call++) await floor('main')
}

async function callSource(source: TokenSource, calls: number): Promise<void> {
  for (let call = 0; call < calls; call++) await source.getToken()
}

async function callManager(manager: { getToken(name: 'main'): Promise<unknown> }, calls: number): Promise<void> {
  for (let call = 0; call < calls; call++) await manager.getToken('main')
}

/** A token that is in memory. */
export async function warmGet(): Promise<readonly Figure[]> {
  const loopback = await startLoopback()
  const manager = createTokenManager({ clients: { main: clientAt(loopback.tokenEndpoint) } })
  const source = manager.source('main')
  await source.getToken()
  await loopback.close()
  const subjects = {
    floor: callFloor,
    source: (calls: number) => callSource(source, calls),
    name: (calls: number) => callManager(manager, calls),
  }
  const timed = (work: (calls: number) => Promise<void>) => () => nanosecondsPerCall(work)
  const times = await interleaved(
    { floor: timed(subjects.floor), source: timed(subjects.source), name: timed(subjects.name) },
    { turns: 41, warmUps: 4 },
  )
  const counted = (work: (calls: number) => Promise<void>) => () => bytesPerCall(work)
  const bytes = await interleaved(
    { floor: counted(subjects.floor), source: counted(subjects.source), name: counted(subjects.name) },
    { turns: 41, warmUps: 4 },
  )
  const time = besideFloor(times.floor, (ns) => `${ns.toFixed(0)} ns`)
  const allocation = (what: string, ours: readonly number[]): Figure => ({
    what,
    ours: `${median(ours).toFixed(0)} B`,
    floor: `${median(bytes.floor).toFixed(0)} B`,
    limit: 'floor + 64 B',
    isWithin: median(ours) - median(bytes.floor) <= 64,
  })
  return [
    time('warm source(name).getToken()', times.source, 1.2),
    time('warm getToken(name)', times.name, 1.5),
    allocation('allocated by source(name).getToken()', bytes.source),
    allocation('allocated by getToken(name)', bytes.name),
  ]
}

async function nanosecondsPerCall(work: (calls: number) => Promise<void>): Promise<number> {
  const startedAt = process.hrtime.bigint()
  await work(TIMED_CALLS)
  return Number(process.hrtime.bigint() - startedAt) / TIMED_CALLS
}

async function bytesPerCall(work: (calls: number) => Promise<void>): Promise<number> {
  collect()
  const before = process.memoryUsage().heapUsed
  await work(COUNTED_CALLS)
  return (process.memoryUsage().heapUsed - before) / COUNTED_CALLS
}
