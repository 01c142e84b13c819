import type { WithLock } from 'evertoken'
import type { Machine } from './machine.ts'
import type { Network } from './network.ts'

/** One call of the lock. */
interface Turn {
  readonly machine: Machine
  readonly name: string
  readonly signal: AbortSignal | undefined
  /** Told that the turn has been lost. */
  readonly lose: () => void
  readonly begin: () => void
  cancelLease: () => void
  hasEnded: boolean
}

interface Place {
  holder: Turn | undefined
  readonly waiting: Set<Turn>
}

/** What a {@link ModelLock} is made of. */
export interface ModelLockOptions extends Network {
  /** Told of every turn that ended before its task did. */
  readonly onLoss: () => void
}

/** For so long a turn stays taken when nothing is heard of its holder. */
const LEASE_MS = 5000

/** A shared lock with leases: whoever looks first when it is free has it. */
export class ModelLock {
  readonly #options: ModelLockOptions
  readonly #places = new Map<string, Place>()

  constructor(options: ModelLockOptions) {
    this.#options = options
  }

  /** How many names are held or waited for. */
  get size(): number {
    return this.#places.size
  }

  /** The lock as one process sees it. */
  connect(machine: Machine): WithLock {
    return (name, task, { signal, onLost } = {}) =>
      machine.promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason)
        let isLost = false
        const lose = (): void => {
          if (isLost) return
          isLost = true
          this.#options.onLoss()
          machine.after(this.#options.latency(), 'lock lost', () => onLost?.())
        }
        const turn: Turn = {
          machine,
          name,
          signal,
          lose,
          begin: () => void begin(),
          cancelLease: () => {},
          hasEnded: false,
        }
        const leave = (): void => {
          this.#placeOf(name).waiting.delete(turn)
          this.#tidy(name)
          reject(signal?.reason)
        }
        const begin = async (): Promise<void> => {
          signal?.removeEventListener('abort', leave)
          try {
            const result = await task()
            this.#end(turn, () => resolve(result))
          } catch (error) {
            this.#end(turn, () => reject(error))
          }
        }
        signal?.addEventListener('abort', leave, { once: true })
        this.#ask(turn, (error) => {
          signal?.removeEventListener('abort', leave)
          reject(error)
        })
      })
  }

  /** As FLUSHALL: who holds a lock does not know that it does not any more. */
  flush(): void {
    for (const [name, place] of this.#places) this.#takeAway(name, place)
  }

  #ask(turn: Turn, fail: (error: Error) => void): void {
    const { machine, name, signal } = turn
    const { latency, sabotage } = this.#options
    const link = machine.links.lock
    if (sabotage === 'the lock is open') machine.after(latency(), 'lock given', turn.begin)
    if (link === 'failing') machine.after(latency(), 'lock fails', () => fail(new Error('lock: connection refused')))
    if (link !== 'up' || sabotage === 'the lock is open') return
    machine.scheduler.after(latency(), `${machine.name} lock asked`, () => {
      // Who has gone meanwhile does not look any more.
      if (machine.isDead || signal?.aborted) return
      this.#placeOf(name).waiting.add(turn)
      this.#give(name)
    })
  }

  #give(name: string): void {
    const place = this.#placeOf(name)
    for (const turn of place.waiting) if (turn.machine.isDead) place.waiting.delete(turn)
    const waiting = [...place.waiting]
    if (place.holder !== undefined) return
    if (waiting[0] === undefined) {
      this.#tidy(name)
      return
    }
    const turn = waiting[0].machine.scheduler.pick(waiting)
    place.waiting.delete(turn)
    place.holder = turn
    this.#keepLease(turn)
    turn.machine.after(this.#options.latency(), 'lock given', () => {
      if (turn.signal?.aborted) this.#free(turn)
      else turn.begin()
    })
  }

  #keepLease(turn: Turn): void {
    const { machine, name } = turn
    turn.cancelLease = machine.scheduler.after(LEASE_MS, `${machine.name} lock lease`, () => {
      const place = this.#placeOf(name)
      const isRenewed = !turn.hasEnded && !machine.isDead && !machine.isPaused && machine.links.lock === 'up'
      if (isRenewed) this.#keepLease(turn)
      else this.#takeAway(name, place)
    })
  }

  #takeAway(name: string, place: Place): void {
    const { holder } = place
    place.holder = undefined
    holder?.cancelLease()
    if (!holder?.machine.isDead && !holder?.hasEnded) holder?.lose()
    this.#give(name)
  }

  /** The task has ended. An answer that does not come costs the lease, not the result. */
  #end(turn: Turn, settle: () => void): void {
    const { machine } = turn
    const { latency } = this.#options
    turn.hasEnded = true
    if (machine.links.lock === 'up') {
      machine.scheduler.after(latency(), `${machine.name} lock given back`, () => this.#free(turn))
    }
    machine.after(latency(), 'lock ended', settle)
  }

  #free(turn: Turn): void {
    const place = this.#placeOf(turn.name)
    if (place.holder === turn) {
      place.holder = undefined
      turn.cancelLease()
    }
    this.#give(turn.name)
  }

  #placeOf(name: string): Place {
    const place = this.#places.get(name) ?? { holder: undefined, waiting: new Set() }
    this.#places.set(name, place)
    return place
  }

  #tidy(name: string): void {
    const place = this.#places.get(name)
    if (place?.holder === undefined && place?.waiting.size === 0) this.#places.delete(name)
  }
}
