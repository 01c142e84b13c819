import { createHash } from 'node:crypto'
import { seededRandom } from '../support/interleaving.ts'

interface Event {
  readonly at: number
  /** Of what falls due at one instant anything may come first. */
  readonly tie: number
  readonly what: string
  readonly run: () => void
}

/** More than any run needs; one that goes on beyond it never comes to rest. */
const MOST_STEPS = 5000

/** Everything that the outside world does, one thing after another, in an order that follows from a seed. */
export class Scheduler {
  readonly random: () => number
  /** What happened, a line each: two runs of one seed have the same. */
  readonly trace: string[] = []
  /** Nothing is noted any more. */
  isOver = false
  #now = 0
  readonly #events = new Set<Event>()

  constructor(seed: number) {
    this.random = seededRandom(seed)
  }

  /** Milliseconds since the world began. */
  get now(): number {
    return this.#now
  }

  /** How much is still to come. */
  get pending(): number {
    return this.#events.size
  }

  /** A whole number from zero, below the limit. */
  below(limit: number): number {
    return Math.floor(this.random() * limit)
  }

  /** One of several. */
  pick<T>(from: readonly T[]): T {
    const picked = from[this.below(from.length)]
    if (picked === undefined) throw new RangeError('expected something to pick from, got nothing')
    return picked
  }

  /** Lets something happen after a time; the returned function calls it off. */
  after(ms: number, what: string, run: () => void): () => void {
    const event = { at: this.#now + Math.max(ms, 0), tie: this.random(), what, run }
    this.#events.add(event)
    return () => this.#events.delete(event)
  }

  /** Takes note of what happened. */
  note(what: string): void {
    if (!this.isOver) this.trace.push(`${this.#now.toFixed(3)} ${what}`)
  }

  /** Lets the next thing happen, and what follows from it without the world; tells whether there was one. */
  async step(): Promise<boolean> {
    let next: Event | undefined
    for (const event of this.#events) if (next === undefined || isBefore(event, next)) next = event
    if (next === undefined) return false
    this.#events.delete(next)
    this.#now = next.at
    if (next.what !== '') this.note(next.what)
    next.run()
    await rest()
    return true
  }

  /** Until nothing is left to happen, or it is clear that there is no end to it. */
  async drain(): Promise<void> {
    await rest()
    for (let steps = 0; steps < MOST_STEPS && (await this.step()); steps++);
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.tie < other.tie)
}

/**
 * Lets promises that wait for nothing but each other settle. With {@link seededCrypto} there is no other work under way: nothing of it is in
 * the thread pool, on the network or on the real clock.
 */
export function rest(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/**
 * `crypto` that follows a scheduler: chance comes from it, and a digest is there at once. The platform's digests come out of a pool of
 * threads, two of them in any order, which would decide who is first to ask.
 */
export function seededCrypto(scheduler: () => Scheduler): object {
  return {
    subtle: {
      async digest(_algorithm: 'SHA-256', bytes: Uint8Array): Promise<ArrayBuffer> {
        return new Uint8Array(createHash('sha256').update(bytes).digest()).buffer
      },
    },
    getRandomValues(array: Uint32Array) {
      const { random } = scheduler()
      for (let at = 0; at < array.length; at++) array[at] = random() * 2 ** 32
      return array
    },
  }
}
