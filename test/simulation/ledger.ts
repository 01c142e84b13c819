import { IDENTITIES } from './identities.ts'
import type { Machine } from './machine.ts'
import type { IssuedToken } from './model-server.ts'

interface Account {
  newest: IssuedToken | undefined
  /** Whether the newest token is being renewed already. */
  isRenewed: boolean
  /** How many requests beyond that are explained: the first one is. */
  excuses: number
}

/** A renewal begins at the earliest in the last quarter of a life, and the life is measured from before the request left. */
const RENEWAL_SHARE = 1 / 4
const JOURNEY_MS = 100

/** Holds every token request against what explains it: one for each life of a token, and one for each thing that went wrong. */
export class Ledger {
  readonly #accounts = new Map<string, Account>(
    IDENTITIES.map(({ name }) => [name, { newest: undefined, isRenewed: false, excuses: 1 }]),
  )
  /** Identities that each process is asking for. */
  readonly #asked = new Map<Machine, Set<string>>()
  readonly #forgotAt = new Map<Machine, number>()
  /** Processes that are deleting something. */
  readonly #deleting = new Map<Machine, number>()

  /** Something has happened that explains one request more, of one identity or of each. */
  excuse(identity?: string): void {
    for (const [name, account] of this.#accounts) if (identity === undefined || name === identity) account.excuses++
  }

  /** A process asks; tells whether anything explains it. */
  requested(identity: string, machine: Machine): boolean {
    const account = this.#accounts.get(identity)
    if (account === undefined) return false
    this.#askedBy(machine).add(identity)
    const { newest } = account
    const renewableAt = newest && newest.expiresAt - newest.lifetimeMs * RENEWAL_SHARE - JOURNEY_MS
    const isRenewal = renewableAt !== undefined && machine.scheduler.now >= renewableAt && !account.isRenewed
    if (isRenewal) account.isRenewed = true
    const isExplained = isRenewal || account.excuses > 0
    if (!isRenewal && isExplained) account.excuses--
    if ((this.#deleting.get(machine) ?? 0) > 0) account.excuses++
    return isExplained
  }

  issued(token: IssuedToken): void {
    const account = this.#accounts.get(token.identity)
    if (account === undefined) return
    account.newest = token
    account.isRenewed = false
  }

  answered(identity: string, machine: Machine): void {
    this.#askedBy(machine).delete(identity)
  }

  /** A process forgets something: whatever it is asking for, it does not keep. */
  forgets(machine: Machine): void {
    this.#forgotAt.set(machine, machine.scheduler.now)
    for (const identity of this.#askedBy(machine)) this.excuse(identity)
  }

  /** A process forgets something from now on, until the returned function is called. */
  deletes(machine: Machine): () => void {
    this.forgets(machine)
    const count = (change: number): unknown => this.#deleting.set(machine, (this.#deleting.get(machine) ?? 0) + change)
    count(1)
    return () => {
      count(-1)
      this.forgets(machine)
    }
  }

  /** When a process forgot something for the last time. */
  forgotAt(machine: Machine): number {
    return this.#forgotAt.get(machine) ?? Number.NEGATIVE_INFINITY
  }

  #askedBy(machine: Machine): Set<string> {
    const asked = this.#asked.get(machine) ?? new Set<string>()
    this.#asked.set(machine, asked)
    return asked
  }
}
