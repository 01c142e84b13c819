import { type AccessToken, isEvertokenError } from 'evertoken'
import type { Identity } from './identities.ts'
import { Ledger } from './ledger.ts'
import type { Machine } from './machine.ts'
import type { IssuedToken, ServerWatch } from './model-server.ts'
import type { Scheduler } from './scheduler.ts'

/** What is promised in a world of one kind. */
export interface Promises {
  /** Every write to the store stays. */
  readonly isStoreSound: boolean
  /** Store and lock work, but for what is told to {@link Witness.excuse}. */
  readonly isFrugal: boolean
  /** The server answers. */
  readonly isServerUp: boolean
}

/** One call of a caller. */
export interface Call {
  readonly machine: Machine
  readonly identity: Identity
  readonly rejected?: AccessToken | undefined
  readonly abort?: AbortController | undefined
}

/** What one process knows of one identity. */
interface Memory {
  readonly given: Set<string>
  /** Deleted, or refused and replaced: not to be given any more. */
  readonly gone: Set<string>
  lastRefusalAt: number
}

/** A call that is under way. */
interface OpenCall extends Call {
  readonly number: number
  readonly memory: Memory
  /** What was gone when it began. */
  readonly gone: ReadonlySet<string>
  readonly mayBeGivenRefused: boolean
}

/** Another refusal within this time may have to wait its turn: until then the refused token is given. */
const REFUSAL_PAUSE_MS = 60_000
/** Sees everything, and compares it with what is promised. */
export class Witness implements ServerWatch {
  readonly faults: string[] = []
  readonly counts = { tokens: 0, requests: 0, failures: 0, aborts: 0, refusals: 0, deletions: 0 }
  readonly #scheduler: Scheduler
  readonly #promises: Promises
  readonly #tokens = new Map<string, IssuedToken>()
  readonly #memories = new Map<Machine, Map<string, Memory>>()
  readonly #ledger = new Ledger()
  readonly #excusedRefusals = new Set<string>()
  readonly #open = new Set<OpenCall>()
  #calls = 0
  #mostAheadMs = 0

  constructor(scheduler: Scheduler, promises: Promises) {
    this.#scheduler = scheduler
    this.#promises = promises
  }

  /** Something has happened that explains one request more, of one identity or of each. */
  excuse(identity?: string): void {
    this.#ledger.excuse(identity)
  }

  /** News has reached a process. */
  heard(machine: Machine): void {
    this.#ledger.forgets(machine)
  }

  /** A clock has been set. */
  clockSet({ aheadMs }: Machine): void {
    this.#mostAheadMs = Math.max(this.#mostAheadMs, aheadMs)
  }

  requested(identity: string, machine: Machine): void {
    this.counts.requests++
    const isExplained = this.#ledger.requested(identity, machine)
    if (!isExplained && this.#promises.isFrugal) this.#fail(`${machine.name} makes a request too many for ${identity}`)
  }

  issued(token: IssuedToken): void {
    this.#tokens.set(token.text, token)
    this.#ledger.issued(token)
  }

  answered(identity: string, machine: Machine): void {
    this.#ledger.answered(identity, machine)
  }

  failed(identity: string): void {
    this.excuse(identity)
  }

  /** A call begins; the returned functions take note of its end. */
  called(call: Call): { got(token: AccessToken): void; failed(error: unknown): void } {
    const memory = this.#memoryOf(call)
    const { now } = this.#scheduler
    const mayBeGivenRefused = now - memory.lastRefusalAt <= REFUSAL_PAUSE_MS
    const number = ++this.#calls
    const open = { ...call, number, memory, gone: new Set(memory.gone), mayBeGivenRefused }
    if (call.rejected !== undefined) this.#refused(call, call.rejected.accessToken, memory)
    this.#open.add(open)
    return {
      got: ({ accessToken }) => {
        if (this.#open.delete(open)) this.#got(open, accessToken)
      },
      failed: (error) => {
        if (this.#open.delete(open)) this.#failed(open, error)
      },
    }
  }

  /** A deletion begins; the returned function takes note that the token is deleted. */
  deleting({ machine, identity }: Call): () => void {
    const memory = this.#memoryOf({ machine, identity })
    const before = new Set(memory.given)
    this.counts.deletions++
    this.excuse(identity.name)
    const end = this.#ledger.deletes(machine)
    return () => {
      end()
      if (this.#promises.isStoreSound) for (const text of before) memory.gone.add(text)
    }
  }

  /** Nothing happens any more. */
  atRest(leftovers: Readonly<Record<string, number>>): void {
    for (const { machine, number } of this.#open) {
      if (!machine.isDead) this.#fail(`call ${number} of ${machine.name} hangs`)
    }
    this.#open.clear()
    for (const [what, count] of Object.entries(leftovers)) if (count !== 0) this.#fail(`${count} ${what} left`)
  }

  #refused({ identity }: Call, text: string, memory: Memory): void {
    this.counts.refusals++
    memory.lastRefusalAt = this.#scheduler.now
    if (this.#excusedRefusals.has(text)) return
    this.#excusedRefusals.add(text)
    this.excuse(identity.name)
  }

  #got({ machine, identity, number, memory, gone, rejected, mayBeGivenRefused }: OpenCall, text: string): void {
    this.counts.tokens++
    const token = this.#tokens.get(text)
    const call = `call ${number} of ${machine.name} for ${identity.name}`
    this.#scheduler.note(`${call} gets ${text}`)
    if (token === undefined) {
      this.#fail(`${call}: ${text} was never issued`)
      return
    }
    if (token.identity !== identity.name) this.#fail(`${call}: ${text} is of ${token.identity}`)
    // A token from a machine whose clock is ahead is believed to live longer by that, never more.
    const skewMs = this.#mostAheadMs - machine.aheadMs
    const lateMs = this.#scheduler.now - token.expiresAt
    if (lateMs >= 0 && lateMs >= skewMs) this.#fail(`${call}: ${text} has been dead for ${lateMs} ms`)
    if (gone.has(text)) this.#fail(`${call}: ${text} was deleted, or refused and replaced`)
    const refused = rejected?.accessToken
    if (refused === text && !mayBeGivenRefused) this.#fail(`${call}: ${text} is the token that was refused`)
    memory.given.add(text)
    if (refused !== undefined && refused !== text && this.#promises.isStoreSound) memory.gone.add(refused)
  }

  #failed({ machine, number, abort }: OpenCall, error: unknown): void {
    const call = `call ${number} of ${machine.name}`
    if (abort?.signal.aborted && error === abort.signal.reason) {
      this.counts.aborts++
      return
    }
    this.counts.failures++
    this.#scheduler.note(`${call} fails with ${error}`)
    if (!isEvertokenError(error)) this.#fail(`${call}: ${error} is no error of the library`)
    else if (error.code === 'closed' && machine.isLeaving) return
    else if (this.#promises.isServerUp && !machine.wasPaused) this.#fail(`${call} fails: ${error}`)
  }

  #memoryOf({ machine, identity }: Pick<Call, 'machine' | 'identity'>): Memory {
    const memories = this.#memories.get(machine) ?? new Map<string, Memory>()
    this.#memories.set(machine, memories)
    const memory = memories.get(identity.name) ?? { given: new Set(), gone: new Set(), lastRefusalAt: -Infinity }
    memories.set(identity.name, memory)
    return memory
  }

  #fail(what: string): void {
    this.#scheduler.note(`FAULT ${what}`)
    this.faults.push(what)
  }
}
