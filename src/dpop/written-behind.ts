import { tolerate } from '../store/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import { type Clock, createDetachedRunner } from '../util/index.ts'
import type { NonceKey, NonceStore } from './nonce-store.ts'

/** A nonce store as one process uses it; names are texts that stand for the keys. */
export interface WrittenBehind {
  /** Asks once for everybody who waits, and lands what the store has, `undefined` if it fails, before any of them hears of it. */
  read(name: string, key: NonceKey, land: Land): Promise<string | undefined>
  /** Writes when there is time. Of several nonces that wait for their turn the last is written. */
  write(name: string, key: NonceKey, nonce: string): void
}

/** Makes a nonce of what a store gave, and keeps it. */
export type Land = (value: unknown) => string | undefined

/** What {@link writtenBehind} needs. */
export interface WrittenBehindOptions {
  readonly clock: Clock
  readonly telemetry: Telemetry
  /** So many keys are written at a time; what comes beyond that is not worth the memory. */
  readonly maxWrites: number
}

/** Puts a store behind the callers: in nobody's context, in order, and tolerant of whatever it does. */
export function writtenBehind(store: NonceStore, { clock, telemetry, maxWrites }: WrittenBehindOptions): WrittenBehind {
  const runDetached = createDetachedRunner()
  const reads = new Map<string, Promise<string | undefined>>()
  const writes = new Map<string, { waiting: string | undefined }>()

  function startRead(name: string, key: NonceKey, land: Land): Promise<string | undefined> {
    return runDetached(async () => {
      try {
        return land(await tolerate('get', () => store.get(key), { clock, telemetry }))
      } finally {
        reads.delete(name)
      }
    })
  }

  async function drain(name: string, key: NonceKey, turn: { waiting: string | undefined }): Promise<void> {
    for (let nonce = turn.waiting; nonce !== undefined; nonce = turn.waiting) {
      const taken = nonce
      turn.waiting = undefined
      await tolerate('set', () => store.set(key, taken), { clock, telemetry })
    }
    // No await since the last look: whoever comes now starts anew.
    writes.delete(name)
  }

  return {
    read(name, key, land) {
      const flight = reads.get(name) ?? startRead(name, key, land)
      reads.set(name, flight)
      return flight
    },
    write(name, key, nonce) {
      const turn = writes.get(name)
      if (turn !== undefined) {
        turn.waiting = nonce
        return
      }
      if (writes.size >= maxWrites) return
      const mine = { waiting: nonce }
      writes.set(name, mine)
      void runDetached(() => drain(name, key, mine))
    },
  }
}
