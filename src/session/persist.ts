import { errorName } from '../telemetry/index.ts'
import { isEvertokenError, StoreError } from '../token/index.ts'
import { delay, withDeadline } from '../util/index.ts'
import type { Lineage } from './lineage.ts'
import type { RefreshAsk } from './refresh-ask.ts'
import { revokeSet } from './revocation.ts'
import { sessionEnded } from './session-end.ts'
import type { SessionEnvironment } from './session-environment.ts'
import type { SessionTokens } from './session-tokens.ts'
import { isSameSignIn } from './set-decisions.ts'
import { changedSet, type TokenSet } from './token-set.ts'

/** What is to be kept. */
export interface Keeping {
  readonly ask: RefreshAsk
  readonly before: TokenSet
  readonly next: TokenSet
}

/** So often a write is tried while callers wait, with pauses that double. */
const MAX_TRIES = 5
const FIRST_PAUSE_MS = 50
const WRITE_MS = 2000
/** After that it is tried so often behind the callers. */
const LATER_TRIES = 20
const LATER_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 30_000

/**
 * Keeps a set before anybody gets a token of it. What was written meanwhile with a higher generation stays, and is the answer; of a session that was
 * ended meanwhile nothing is kept, and what came for it is revoked.
 *
 * @throws SessionError with reason `signed_out` or `revoked`.
 */
export async function persist(env: SessionEnvironment, lineage: Lineage, keeping: Keeping): Promise<TokenSet> {
  const { telemetry, oauth, memory } = env
  const { ask, before, next } = keeping
  const { session } = ask
  if (await isOver(env, lineage, next)) throw await dropped(env, lineage, { ...keeping, reason: 'signed_out' })
  // The user's other requests bring the cookie of before: for them the successor is what is durable.
  if (session.kind === 'carried') await memory.keepSuccessor(before, next)
  const saved = await save(env, session, next)
  if (saved === 'passed_over') return passedOver(env, lineage, keeping)
  if (session.kind !== 'carried') await memory.keepSuccessor(before, next)
  // Once more: whoever signs out marks that first, and then looks for what was written before.
  if (await isOver(env, lineage, next)) {
    if (session.kind === 'carried') await session.clear()
    throw await dropped(env, lineage, { ...keeping, reason: 'signed_out' })
  }
  if (saved === 'failed' || saved === 'refused') {
    telemetry.note({ name: 'session_persist_failed', client: oauth.clientName })
    if (saved === 'failed') void keepTrying(env, lineage, keeping)
  } else if (next.endedBecause === undefined) telemetry.note({ name: 'session_updated', client: oauth.clientName })
  return next
}

async function isOver({ memory }: SessionEnvironment, lineage: Lineage, { generation }: TokenSet): Promise<boolean> {
  return lineage.end !== undefined || (await memory.isEnded(lineage.id, generation)) === true
}

/** What is there instead. */
async function passedOver(env: SessionEnvironment, lineage: Lineage, keeping: Keeping): Promise<TokenSet> {
  const { ask, next } = keeping
  const stored = await ask.session.load()
  if (stored === undefined) throw await dropped(env, lineage, { ...keeping, reason: 'signed_out' })
  if (stored.endedBecause === 'revoked') throw await dropped(env, lineage, { ...keeping, reason: 'revoked' })
  // Somebody may have signed in there meanwhile: whoever waits for a token of the session before must not get one of that.
  if (!isSameSignIn(stored, next)) throw await dropped(env, lineage, { ...keeping, reason: 'superseded' })
  // Somebody was told that the token is dead which has just brought this.
  if (stored.refreshToken === undefined && next.refreshToken !== undefined) {
    return persist(env, lineage, { ...keeping, next: changedSet(next, { generation: stored.generation + 1 }) })
  }
  return stored
}

/** The end of a session whose refresh comes too late: nobody gets its tokens. */
async function dropped(
  env: SessionEnvironment,
  lineage: Lineage,
  { next, reason }: Keeping & { readonly reason: 'signed_out' | 'revoked' | 'superseded' },
): Promise<Error> {
  if (reason === 'signed_out') lineage.endWith(reason, next.generation)
  // Whoever has the next turn must see the end, and not the refresh token that was spent.
  await lineage.endWritten()
  await revokeSet(env, next)
  return sessionEnded(env.oauth.clientName, reason === 'superseded' ? 'signed_out' : reason)
}

/** `passed_over`: something newer is there, or the session is over. `refused`: it would be again, such as one that has no room in cookies. */
type Saved = 'kept' | 'passed_over' | 'failed' | 'refused'

async function save(env: SessionEnvironment, session: SessionTokens, next: TokenSet): Promise<Saved> {
  const { clock } = env.oauth
  for (let tries = 1; ; tries++) {
    const result = await saveOnce(env, session, next)
    if (result !== 'failed' || tries === MAX_TRIES) return result
    await delay(clock, FIRST_PAUSE_MS * 2 ** (tries - 1))
  }
}

/** One try, whose failure is an event. */
export async function saveOnce(
  { oauth, telemetry }: SessionEnvironment,
  session: SessionTokens,
  next: TokenSet,
): Promise<Saved> {
  const error = (): Error =>
    new StoreError(`expected the session to be saved within ${WRITE_MS} ms, got no answer`, { code: 'store_timeout' })
  try {
    const kept = await withDeadline(async () => session.save(next), { clock: oauth.clock, ms: WRITE_MS, error })
    return kept ? 'kept' : 'passed_over'
  } catch (cause) {
    telemetry.note({ name: 'session_write_failed', client: oauth.clientName, error: errorName(cause) })
    return isEvertokenError(cause) && !cause.retryable ? 'refused' : 'failed'
  }
}

/** The set is nowhere but here: it is offered again until it is kept, or until something newer is there. */
async function keepTrying(env: SessionEnvironment, lineage: Lineage, { ask, before, next }: Keeping): Promise<void> {
  for (let tries = 0; tries < LATER_TRIES; tries++) {
    await delay(env.oauth.clock, Math.min(LATER_PAUSE_MS * 2 ** tries, LONGEST_PAUSE_MS))
    if (lineage.end !== undefined || lineage.newest(next) !== next) return
    if ((await saveOnce(env, ask.session, next)) !== 'failed') return
    // Until it is kept, the others find it there and nowhere else.
    await env.memory.keepSuccessor(before, next)
  }
}
