import { setTimeout as pause } from 'node:timers/promises'
import { createTokenManager } from 'evertoken'
import { type Figure, quantile } from './figures.ts'
import { clientAt, startLoopback } from './loopback.ts'

const LOOPS = 200
const RUN_MS = 15_000
const LIFETIME_SECONDS = 3
const ENDPOINT_MS = 100
const ROOM = 4_000_000

/** Waits of all loops; there is room for all of them, so that nothing grows while it is measured. */
class Waits {
  readonly #values = new Float64Array(ROOM)
  #count = 0

  add(ms: number): void {
    this.#values[this.#count++] = ms
  }

  sorted(): Float64Array {
    return this.#values.slice(0, this.#count).sort()
  }
}

/** Tokens that live shorter than the work does, under load. */
export async function shortTokens(): Promise<readonly Figure[]> {
  const loopback = await startLoopback({ lifetimeSeconds: LIFETIME_SECONDS, delayMs: ENDPOINT_MS })
  const manager = createTokenManager({ clients: { main: clientAt(loopback.tokenEndpoint) } })
  const first = await manager.getToken('main')
  // What the machine itself does to such a measurement: the same call to something that never waits for anything.
  const neverWaits = async (): Promise<unknown> => first
  const ours = new Waits()
  const floor = new Waits()
  const endsAt = performance.now() + RUN_MS
  let dead = 0

  async function loop(): Promise<void> {
    while (performance.now() < endsAt) {
      const askedAt = performance.now()
      const { accessToken } = await manager.getToken('main')
      const servedAt = performance.now()
      ours.add(servedAt - askedAt)
      if (Date.now() >= Number(accessToken.split('-')[2])) dead++
      const floorAskedAt = performance.now()
      await neverWaits()
      floor.add(performance.now() - floorAskedAt)
      // Loops that only await would keep the event loop from ever reading an answer. The pause is not part of the wait.
      await pause(1 + Math.random() * 4)
    }
  }

  await Promise.all(Array.from({ length: LOOPS }, loop))
  // The first token was there before the load; its request does not count, and neither does its lifetime.
  const requests = (await loopback.tokenRequests()) - 1
  await Promise.all([manager.close(), loopback.close()])
  const perLifetime = requests / (RUN_MS / 1000 / LIFETIME_SECONDS)
  const waits = { ours: ours.sorted(), floor: floor.sorted() }
  const at = (share: number): { ours: string; floor: string; ms: number } => {
    const ms = quantile(waits.ours, share)
    return { ours: `${ms.toFixed(3)} ms`, floor: `${quantile(waits.floor, share).toFixed(3)} ms`, ms }
  }
  const { ms: longest, ...longestFigures } = at(1)
  const { ms: rare, ...rareFigures } = at(0.999)
  const load = `3 s tokens, ${(waits.ours.length / 1000).toFixed(0)}k calls`
  return [
    { what: `${load}: longest wait`, ...longestFigures, limit: '50 ms', isWithin: longest <= 50 },
    { what: `${load}: p99.9 wait`, ...rareFigures, limit: '1 ms', isWithin: rare < 1 },
    { what: `${load}: dead tokens`, ours: String(dead), limit: '0', isWithin: dead === 0 },
    {
      what: `${load}: requests per lifetime`,
      ours: perLifetime.toFixed(1),
      floor: '1',
      limit: '2',
      isWithin: perLifetime <= 2,
    },
  ]
}
