import { admitRejection, type FailureMemory, nextAttemptAt, type RejectionMemory } from '../../source/index.ts'
import type { Random } from '../../util/index.ts'
import { nameOf, type RefreshAsk, userOf } from './refresh-ask.ts'
import { isOfRequest } from './refresh-failure.ts'

/** What was wrong with a request is forgotten after that. */
const FORGOTTEN_MS = 60_000

/** When somebody asks whether to try. */
interface Moment {
  readonly now: number
  /** When the refresh was asked for, which may have waited for others since. */
  readonly askedAt: number
  readonly holdsToken: boolean
}

/** What goes wrong with the refreshes of one session: refused tokens, and failures, of a request or of everything of a user. */
export class RefreshTrouble {
  readonly #random: Random
  /** Of tokens that APIs refused. */
  readonly #rejections = new Map<string, RejectionMemory>()
  readonly #failures = new Map<string, FailureMemory>()

  constructor(random: Random) {
    this.#random = random
  }

  /** Whether a token that was refused may be renewed yet: an API may refuse them all. */
  admits(ask: RefreshAsk, now: number): boolean {
    const name = nameOf(ask)
    const admitted = admitRejection(this.#rejections.get(name), now)
    if (admitted !== undefined) this.#rejections.set(name, admitted)
    return admitted !== undefined
  }

  /** A failure that is so recent that another try makes no sense yet; one of while the caller waited for the turn is the caller's, too. */
  recent(ask: RefreshAsk, { now, askedAt, holdsToken }: Moment): unknown {
    const failures = aboutOf(ask).flatMap((about) => this.#failures.get(about) ?? [])
    return failures.find((failure) => failure.at > askedAt || now < nextAttemptAt(failure, holdsToken))?.error
  }

  failed(ask: RefreshAsk, error: unknown, now: number): void {
    const about = isOfRequest(error) ? nameOf(ask) : userOf(ask)
    const count = (this.#failures.get(about)?.count ?? 0) + 1
    // Nobody may ever ask for them again.
    for (const [each, { at }] of this.#failures) if (now > at + FORGOTTEN_MS) this.#failures.delete(each)
    this.#failures.set(about, { error, count, at: now, jitter: this.#random() })
  }

  succeeded(ask: RefreshAsk): void {
    for (const about of aboutOf(ask)) this.#failures.delete(about)
  }

  clear(): void {
    this.#failures.clear()
    this.#rejections.clear()
  }
}

function aboutOf(ask: RefreshAsk): readonly string[] {
  return [userOf(ask), nameOf(ask)]
}
