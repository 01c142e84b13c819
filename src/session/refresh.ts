import { TokenResponseError } from '../token/index.ts'
import { claimed, isClaimed, pause, unclaimed } from './claim.ts'
import { withClaims } from './claims.ts'
import { inTurn, noTurn } from './in-turn.ts'
import type { Lineage, RefreshAsk, RefreshResult } from './lineage.ts'
import { persist } from './persist.ts'
import { refreshFailure } from './refresh-failure.ts'
import { type RefreshAnswer, requestRefresh } from './refresh-request.ts'
import { type SessionEnd, sessionEnded } from './session-end.ts'
import type { SessionEnvironment } from './session-environment.ts'
import { endedSet, missingScope, newest, refreshedSet } from './set-decisions.ts'
import type { TokenSet } from './token-set.ts'

/** How long a turn is waited for: longer than a refresh may take, and its set to be saved. */
const TURN_SHARE = 1.5
/** So many refresh tokens are tried in one turn: each is newer than the one before. */
const MAX_TOKENS = 3

/**
 * Refreshes a set. First what this process or another one has got meanwhile, then the lock, then both once more, then the server: of all who have the same
 * refresh token one spends it.
 */
export async function refreshInTurn(
  env: SessionEnvironment,
  lineage: Lineage,
  ask: RefreshAsk,
): Promise<RefreshResult> {
  const { oauth, lock, deadlineMs } = env
  const early = await found(lineage, ask, (await followed(env, lineage.newest(ask.known))).set)
  if (early !== undefined) return early
  return inTurn((hasTurn) => spendInTurn(env, lineage, { ...ask, hasTurn }), {
    lock,
    name: lineage.id,
    clock: oauth.clock,
    waitMs: deadlineMs * TURN_SHARE,
    mayGoWithout: ask.session.kind !== 'carried',
  })
}

/** The token of a set, where there is one that needs nothing. */
async function found(lineage: Lineage, ask: RefreshAsk, set: TokenSet): Promise<RefreshResult | undefined> {
  lineage.learned(set)
  await lineage.prepare(set)
  const token = lineage.fresh(set, ask)
  return token === undefined ? undefined : { set, token }
}

/** The last successor of a set that is known, and whether there can be none after it. */
export interface Followed {
  readonly set: TokenSet
  readonly isLast: boolean
}

/** Follows the successors of a set. */
export async function followed({ memory }: SessionEnvironment, from: TokenSet): Promise<Followed> {
  let set = from
  while (set.refreshToken !== undefined) {
    const next = await memory.successorOf(set.refreshToken)
    if (next === 'unknown') return { set, isLast: false }
    if (next === undefined || next.generation <= set.generation) break
    set = next
  }
  return { set, isLast: true }
}

/** Somebody whose turn it is; without a lock there are no turns, and the session is claimed instead. */
interface TurnAsk extends RefreshAsk {
  readonly hasTurn: boolean
}

async function spendInTurn(env: SessionEnvironment, lineage: Lineage, ask: TurnAsk): Promise<RefreshResult> {
  const { clock } = env.oauth
  const patientUntil = clock.now() + env.deadlineMs * TURN_SHARE
  let current = await reread(env, lineage, ask)
  for (let tokens = 1; ; ) {
    const { set, isLast } = await followed(env, lineage.newest(current))
    current = set
    const late = await found(lineage, ask, current)
    if (late !== undefined) return late
    // A cookie may be older than what another process has got for it: only the successor tells.
    if (!isLast && ask.session.kind === 'carried') throw noTurn()
    const mine = isClaimed(current, clock.now()) ? undefined : await toSpend(env, ask, current)
    if (mine === undefined) {
      if (clock.now() >= patientUntil) throw noTurn()
      await pause(env)
      current = await reread(env, lineage, ask)
      continue
    }
    try {
      return await spend(env, lineage, { ask, set: mine })
    } catch (error) {
      if (refreshFailure(error) !== 'rejected') throw error
      // Somebody may have been quicker, without a lock or with one that was lost.
      current = await reread(env, lineage, ask)
      if (current.refreshToken !== mine.refreshToken && tokens++ < MAX_TOKENS) continue
      throw await end(env, lineage, { ask, set: newest(mine, current), reason: 'refresh_token_rejected', cause: error })
    }
  }
}

/** The set that may be spent now; nothing where somebody else has claimed it. */
async function toSpend(env: SessionEnvironment, ask: TurnAsk, set: TokenSet): Promise<TokenSet | undefined> {
  if (ask.hasTurn || set.refreshToken === undefined) return set
  return claimed(env, ask.session, set)
}

/** What is in the store now, which may be newer than what the caller has loaded. */
async function reread({ oauth, memory }: SessionEnvironment, lineage: Lineage, ask: RefreshAsk): Promise<TokenSet> {
  const { session, known } = ask
  const ownNewest = lineage.newest(known)
  if (session.kind === 'carried') return ownNewest
  const stored = await session.load()
  if (stored === undefined) {
    const wasSignedOut = lineage.end !== undefined || (await memory.isEnded(lineage.id, known.generation))
    throw sessionEnded(oauth.clientName, wasSignedOut ? 'signed_out' : 'no_session')
  }
  // Of two sets that came of one refresh token the one that was kept counts.
  return newest(stored, ownNewest)
}

/** What is spent, and for whom. */
interface Spending {
  readonly ask: RefreshAsk
  readonly set: TokenSet
}

/** Spends one refresh token, keeps what comes of it, and only then hands it out. */
async function spend(env: SessionEnvironment, lineage: Lineage, { ask, set }: Spending): Promise<RefreshResult> {
  const { oauth, memory } = env
  const { clientName, clock } = oauth
  const { refreshToken, refreshTokenExpiresAt = Number.POSITIVE_INFINITY } = set
  if (lineage.end !== undefined || (await memory.isEnded(lineage.id, set.generation)))
    throw sessionEnded(clientName, 'signed_out')
  if (refreshToken === undefined) {
    throw sessionEnded(clientName, (set.endedBecause as SessionEnd | undefined) ?? 'no_refresh_token')
  }
  if (clock.now() >= refreshTokenExpiresAt) {
    throw await end(env, lineage, { ask, set, reason: 'refresh_token_expired' })
  }
  const answer = await replayed(env, lineage, { ask, set }).catch(async (error) => {
    if (set.claimedUntil !== undefined) await unclaimed(ask.session, set)
    throw error
  })
  const { token } = answer.response
  const { shape, scope } = ask.request
  const missing = oauth.acceptsNarrowedScope ? undefined : missingScope(scope, token.scope)
  const isGranted = missing === undefined
  const next = await withClaims(env, refreshedSet(set, { ...answer, shape, isGranted, now: clock.now() }))
  lineage.learned(next)
  const kept = await persist(env, lineage, { ask, before: set, next })
  await memory.endRefresh(refreshToken)
  // The session goes on; this request does not get what it needs.
  if (!isGranted) throw notGranted(clientName, scope, missing)
  // Another process has written a newer set: its token is as good.
  return { set: kept, token: kept === next ? token : (lineage.fresh(kept, ask) ?? token) }
}

/** One request, and one more at once where its answer got lost: servers take a refresh token twice within a few seconds, if at all. */
async function replayed(env: SessionEnvironment, lineage: Lineage, { ask, set }: Spending): Promise<RefreshAnswer> {
  const { memory } = env
  const refreshToken = set.refreshToken ?? ''
  const noted = await memory.beginRefresh(refreshToken)
  // Where nothing can be noted there will be no successor either, and a cookie of before would be all that others have.
  if (noted === 'unknown' && ask.session.kind === 'carried') throw noTurn()
  let wasInterrupted = noted === true
  for (let tries = 1; ; tries++) {
    try {
      return await requestRefresh(env, set, ask.request)
    } catch (error) {
      const failure = refreshFailure(error)
      if (error instanceof TokenResponseError) {
        env.telemetry.note({ name: 'refresh_discarded', client: env.oauth.clientName, error: error.code })
      }
      if (failure === 'ambiguous') {
        wasInterrupted = true
        if (tries === 1) continue
        throw error
      }
      // It was spent by us, or by a process that was killed before it could keep the answer.
      if (failure === 'rejected' && wasInterrupted) {
        const stored = await reread(env, lineage, ask)
        if (stored.refreshToken !== refreshToken) throw error
        throw await end(env, lineage, { ask, set, reason: 'refresh_token_lost', cause: error })
      }
      await memory.endRefresh(refreshToken)
      if (failure === 'doubtful') throw sessionEnded(env.oauth.clientName, 'refresh_doubtful', error)
      throw error
    }
  }
}

/** How a session ends by itself. */
interface Ending {
  readonly ask: RefreshAsk
  readonly set: TokenSet
  readonly reason: SessionEnd
  readonly cause?: unknown
}

/** The refresh token is dead: access tokens that live are kept, and nothing is tried again. */
async function end(env: SessionEnvironment, lineage: Lineage, { ask, set, reason, cause }: Ending): Promise<Error> {
  const { oauth, telemetry, memory } = env
  const { clientName, clock } = oauth
  const ended = endedSet(set, reason, clock.now())
  lineage.learned(ended)
  // Written by comparison like every set: somebody may have been luckier with the token meanwhile.
  await persist(env, lineage, { ask, before: set, next: ended })
  if (set.refreshToken !== undefined) await memory.endRefresh(set.refreshToken)
  telemetry.note({ name: 'session_ended', client: clientName, reason })
  return sessionEnded(clientName, reason, cause)
}

function notGranted(clientName: string, scope: string | undefined, missing: string): Error {
  return new TokenResponseError(
    `client "${clientName}": expected scope "${scope}" to be granted, got a token without "${missing}"`,
    { code: 'insufficient_granted_scope', missingScope: missing },
  )
}
