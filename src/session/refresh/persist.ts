import { revokeSet } from '../ending/revocation.ts'
import { sessionEnded } from '../session-end.ts'
import type { SessionEnvironment } from '../session-environment.ts'
import { isSameSignIn, signedOutSet } from '../token-set/set-decisions.ts'
import { changedSet, type TokenSet } from '../token-set/token-set.ts'
import { forbidSuccessors } from './forbid-successors.ts'
import type { Lineage } from './lineage.ts'
import type { RefreshAsk } from './refresh-ask.ts'
import { type Fitting, loadInstead, noteSuccessor, saveFitting, saveOnce } from './save-set.ts'

/** What is to be kept. */
export interface Keeping {
  readonly ask: RefreshAsk
  readonly before: TokenSet
  readonly next: TokenSet
}

/** What callers do not wait for any more is tried for so long behind them. */
const LATER_MS = 8 * 60 * 1000
const LATER_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 30_000

/**
 * Keeps a set before anybody gets a token of it. What was written meanwhile with a higher generation stays, and is the answer; of a session that was
 * ended meanwhile nothing is kept, and what came for it is revoked.
 *
 * @throws SessionError with reason `signed_out` or `revoked`.
 */
export async function persist(env: SessionEnvironment, lineage: Lineage, keeping: Keeping): Promise<TokenSet> {
  if (await isOver(env, lineage, keeping.next)) throw await dropped(env, lineage, { ...keeping, reason: 'signed_out' })
  const keep = keeping.ask.session.kind === 'carried' ? keepCarried : keepStored
  return keep(env, lineage, keeping)
}

/** The session is what is durable; whoever still has the set before finds the successor. */
async function keepStored(env: SessionEnvironment, lineage: Lineage, keeping: Keeping): Promise<TokenSet> {
  const { ask, before, next } = keeping
  const { saved, set } = await saveFitting(env, ask.session, { set: next, shape: ask.request.shape })
  if (saved === 'passed_over') return passedOver(env, lineage, keeping)
  const isNoted = await env.memory.keepSuccessor(before, set)
  // Once more: whoever signs out marks that first, and then looks for what was written before.
  if (await isOver(env, lineage, set)) throw await dropped(env, lineage, { ...keeping, reason: 'signed_out' })
  tell(env, { saved, set })
  if (saved === 'kept' || isNoted) await env.memory.endRefresh(before)
  if (saved === 'failed') env.closing.afterwards(() => keepTrying(env, lineage, keeping))
  return set
}

/** The successor is what is durable: the user's other requests bring the cookie of before, and the response with this one may get lost. */
async function keepCarried(env: SessionEnvironment, lineage: Lineage, keeping: Keeping): Promise<TokenSet> {
  const { ask, before, next } = keeping
  const { session, request } = ask
  const isNoted = await noteSuccessor(env, before, next)
  const { saved, set } = await saveFitting(env, session, { set: next, shape: request.shape })
  if (await isOver(env, lineage, next)) {
    // Whoever was to find the end as the successor has found this set since.
    await forbidSuccessors(env, [before, next], signedOutSet(next))
    const carried = await session.load()
    // Somebody may have signed in beside this refresh.
    if (carried !== undefined && isSameSignIn(carried, next)) await session.clear()
    throw await dropped(env, lineage, { ...keeping, reason: 'signed_out' })
  }
  if (saved === 'passed_over') return passedOver(env, lineage, keeping)
  tell(env, { saved: isNoted ? saved : 'failed', set })
  // Until it is noted, the intent is all that others find.
  if (isNoted) await env.memory.endRefresh(before)
  else env.closing.afterwards(() => keepTrying(env, lineage, keeping))
  return set
}

async function isOver({ memory }: SessionEnvironment, lineage: Lineage, { generation }: TokenSet): Promise<boolean> {
  // What has come must not get lost because nobody can be asked.
  return lineage.end !== undefined || (await memory.isEnded(lineage.id, generation)) === true
}

function tell(env: SessionEnvironment, { saved, set }: Fitting): void {
  if (saved !== 'kept') tellOfFailure(env)
  else if (set.endedBecause === undefined) env.telemetry.note({ name: 'session_updated', client: env.oauth.clientName })
}

/** What is there instead. */
async function passedOver(env: SessionEnvironment, lineage: Lineage, keeping: Keeping): Promise<TokenSet> {
  const { ask, before, next } = keeping
  const stored = await loadInstead(env, ask.session)
  if (stored === undefined) throw await dropped(env, lineage, { ...keeping, reason: 'signed_out' })
  if (stored.endedBecause === 'revoked') throw await dropped(env, lineage, { ...keeping, reason: 'revoked' })
  // Somebody may have signed in there meanwhile: whoever waits for a token of the session before must not get one of that.
  if (!isSameSignIn(stored, next)) throw await dropped(env, lineage, { ...keeping, reason: 'superseded' })
  // Somebody was told that the token is dead which has just brought this, or has claimed it.
  const { refreshToken } = stored
  const isOlder = refreshToken === undefined || refreshToken === before.refreshToken
  if (isOlder && next.refreshToken !== undefined && next.refreshToken !== refreshToken) {
    return persist(env, lineage, { ...keeping, next: changedSet(next, { generation: stored.generation + 1 }) })
  }
  return stored
}

/** The end of a session whose refresh comes too late: nobody gets its tokens. */
async function dropped(
  env: SessionEnvironment,
  lineage: Lineage,
  { before, next, reason }: Keeping & { readonly reason: 'signed_out' | 'revoked' | 'superseded' },
): Promise<Error> {
  if (reason === 'signed_out') lineage.endWith(reason, next.generation)
  // Whoever has the next turn must see the end, and not the refresh token that was spent.
  await lineage.endWritten()
  await env.memory.endRefresh(before)
  await revokeSet(env, next)
  return sessionEnded(env.oauth.clientName, reason === 'superseded' ? 'signed_out' : reason)
}

/** The set is nowhere but here: it is offered again until it is kept, or something newer is there, or the manager closes. An event tells when nothing more is tried. */
async function keepTrying(env: SessionEnvironment, lineage: Lineage, { ask, before, next }: Keeping): Promise<void> {
  const { oauth, memory, closing } = env
  const { clock } = oauth
  const isCarried = ask.session.kind === 'carried'
  const until = clock.now() + LATER_MS
  // Between two tries the successor is all that others find, as long as that lives.
  const longestMs = Math.min(LONGEST_PAUSE_MS, Math.max(LATER_PAUSE_MS, memory.graceMs / 2))
  for (let tries = 0, isLast = false; !isLast; tries++) {
    await closing.pause(Math.min(LATER_PAUSE_MS * 2 ** tries, longestMs))
    isLast = closing.hasBegun || clock.now() >= until
    if (lineage.end !== undefined || lineage.newest(next) !== next) return
    const saved = isCarried ? 'failed' : await saveOnce(env, ask.session, next)
    const isSaved = saved === 'kept' || saved === 'passed_over'
    const isNoted = !isSaved && (await memory.keepSuccessor(before, next))
    if (isSaved || isNoted) await memory.endRefresh(before)
    if (isSaved || (isCarried && isNoted)) return
    if (saved === 'refused') break
  }
  tellOfFailure(env)
}

function tellOfFailure({ telemetry, oauth }: SessionEnvironment): void {
  telemetry.note({ name: 'session_persist_failed', client: oauth.clientName })
}
