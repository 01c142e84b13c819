import type { Invalidations } from 'evertoken'
import type { Machine } from './machine.ts'
import { ask, type Network } from './network.ts'

/** What {@link ModelNews} is made of. */
export interface NewsOptions extends Network {
  /** Told of each process that hears something. */
  readonly onHeard: (machine: Machine) => void
}

/** News between processes; who is cut off when they are told does not hear them later. */
export class ModelNews {
  readonly #network: NewsOptions
  readonly #listeners = new Map<(key: string) => void, Machine>()

  constructor(network: NewsOptions) {
    this.#network = network
  }

  /** How many processes that live listen. */
  get listeners(): number {
    return [...this.#listeners.values()].filter(({ isDead }) => !isDead).length
  }

  /** The news as one process hears and tells them. */
  connect(machine: Machine): Invalidations {
    return {
      publish: (key) =>
        ask(machine, this.#network, {
          what: 'news told',
          link: machine.links.news,
          isWrite: true,
          apply: () => this.#spread(machine, key),
        }),
      subscribe: (onKey) => {
        this.#listeners.set(onKey, machine)
        return () => this.#listeners.delete(onKey)
      },
    }
  }

  #spread(from: Machine, key: string): void {
    for (const [onKey, machine] of this.#listeners) {
      if (machine === from || machine.links.news !== 'up') continue
      machine.after(this.#network.latency(), 'news heard', () => {
        if (!this.#listeners.has(onKey)) return
        this.#network.onHeard(machine)
        onKey(key)
      })
    }
  }
}
