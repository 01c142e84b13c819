import { type AccessToken, isEvertokenError } from 'evertoken'
import type { Call, Memory, OpenCall, Promises } from './call.ts'
import { Ledger } from './ledger.ts'
import type { Machine } from './machine.ts'
import type { IssuedToken, ServerWatch } from './model-server.ts'
import type { Scheduler } from './scheduler.ts'

/** Another refusal within this time may have to wait its turn: until then the refused token is given. */
const REFUSAL_PAUSE_MS = 60_000
/** Longer than a request and all that belongs to it may take. */
const FLIGHT_MS = 15_000
/** For so long news may be on its way. */
const NEWS_MS = 20

/** Sees everything, and compares it with what is promised. */
export class Witness implements ServerWatch {
  readonly faults: string[] = []
  readonly counts = { tokens: 0, requests: 0, failures: 0, aborts: 0, refusals: 0, deletions: 0 }
  readonly #scheduler: Scheduler
  readonly #promises: Promises
  readonly #tokens = new Map<string, IssuedToken>()
  readonly #memories = new Map<Machine, Map<string, Memory>>()
  readonly #ledger = new Ledger()
  /** Since when tokens are deleted in one process; the others hear of it. */
  readonly #deletedAt = new Map<string, number>()
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
    const open = {
      ...call,
      number,
      memory,
      beganAt: now,
      gone: new Set(memory.gone),
      deletedAt: memory.deletedAt,
      mayBeGivenRefused,
    }
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
    const beganAt = this.#scheduler.now
    const end = this.#ledger.deletes(machine)
    return () => {
      end()
      if (!this.#promises.isStoreSound) return
      memory.deletedAt = beganAt
      for (const text of before) {
        memory.gone.add(text)
        if (!this.#deletedAt.has(text)) this.#deletedAt.set(text, this.#scheduler.now)
      }
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

  #got(open: OpenCall, text: string): void {
    const { machine, identity, number, memory, gone, beganAt, deletedAt, rejected, mayBeGivenRefused } = open
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
    if (token.askedBy === machine && token.askedAt < deletedAt)
      this.#fail(`${call}: ${text} was asked for before a deletion`)
    const toldAt = this.#deletedAt.get(text)
    if (toldAt !== undefined && beganAt > toldAt + NEWS_MS) this.#fail(`${call}: ${text} was deleted elsewhere`)
    const refused = rejected?.accessToken
    if (refused === text && !mayBeGivenRefused) this.#fail(`${call}: ${text} is the token that was refused`)
    memory.given.add(text)
    // A process that forgets something does not keep what it is asking for: the refused token may still be in the store.
    const isKept = this.#scheduler.now - this.#ledger.forgotAt(machine) > FLIGHT_MS
    if (refused !== undefined && refused !== text && isKept && this.#promises.isStoreSound) memory.gone.add(refused)
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
    const memory = memories.get(identity.name) ?? {
      given: new Set(),
      gone: new Set(),
      lastRefusalAt: -Infinity,
      deletedAt: -Infinity,
    }
    memories.set(identity.name, memory)
    return memory
  }

  #fail(what: string): void {
    this.#scheduler.note(`FAULT ${what}`)
    this.faults.push(what)
  }
}
