import type { TokenStore } from 'evertoken'
import type { Machine } from './machine.ts'
import { ask, type Network } from './network.ts'

interface Entry {
  readonly value: string
  readonly expiresAt: number
}

/** A shared store, as a Redis with a replica is one. */
export class ModelStore {
  readonly #network: Network
  #entries = new Map<string, Entry>()
  /** What takes each of the last writes back. */
  readonly #undo: (() => void)[] = []

  constructor(network: Network) {
    this.#network = network
  }

  get size(): number {
    return this.#entries.size
  }

  /** The store as one process sees it. */
  connect(machine: Machine): TokenStore {
    const { sabotage } = this.#network
    const question = <T>(what: string, apply: () => T): Promise<T> =>
      ask(machine, this.#network, { what: `store.${what}`, link: machine.links.store, isWrite: what !== 'get', apply })
    return {
      get: (key) =>
        question('get', () => {
          const entry = this.#entries.get(key)
          return entry !== undefined && machine.clock.now() - machine.aheadMs < entry.expiresAt
            ? entry.value
            : undefined
        }),
      set: (key, value, expiresAt) =>
        question('set', () => {
          const isLost = sabotage === 'entries are kept' && value.includes('"deletedAt"')
          if (!isLost) this.#write(key, { value, expiresAt })
        }),
      delete: (key) =>
        question('delete', () => {
          if (sabotage !== 'entries are kept') this.#write(key, undefined)
        }),
    }
  }

  /** As FLUSHALL. */
  flush(): void {
    this.#entries.clear()
    this.#undo.length = 0
  }

  /** A replica that has not seen the last writes takes over. */
  failOver(lostWrites: number): void {
    for (let lost = 0; lost < lostWrites; lost++) this.#undo.pop()?.()
  }

  #write(key: string, entry: Entry | undefined): void {
    const before = this.#entries.get(key)
    this.#undo.push(() => this.#put(key, before))
    this.#put(key, entry)
  }

  #put(key: string, entry: Entry | undefined): void {
    if (entry === undefined) this.#entries.delete(key)
    else this.#entries.set(key, entry)
  }
}
