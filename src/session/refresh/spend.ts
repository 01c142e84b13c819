import { closedError } from '../../source/index.ts'
import { TokenResponseError, TransportError } from '../../token/index.ts'
import type { Closing } from '../closing.ts'
import { withClaims } from '../login/claims.ts'
import { type SessionEnd, sessionEnded } from '../session-end.ts'
import type { SessionEnvironment } from '../session-environment.ts'
import { hasExpired, missingScope, refreshedSet, signInBy } from '../token-set/set-decisions.ts'
import type { TokenSet } from '../token-set/token-set.ts'
import { spentBy, unclaimed } from './claim.ts'
import { end, type Overtaken } from './dead-token.ts'
import { noTurn } from './in-turn.ts'
import type { Lineage } from './lineage.ts'
import { persist } from './persist.ts'
import type { RefreshAsk, RefreshResult } from './refresh-ask.ts'
import { refreshFailure } from './refresh-failure.ts'
import { type RefreshAnswer, requestRefresh } from './refresh-request.ts'

/** What is spent, and for whom. */
export interface Spending {
  readonly ask: RefreshAsk
  readonly set: TokenSet
  /** Whether somebody has begun to spend it, and nobody knows what came of that. */
  readonly wasInterrupted: boolean
}

/** Spends one refresh token, keeps what comes of it, and only then hands it out. */
export async function spend(
  env: SessionEnvironment,
  lineage: Lineage,
  { ask, set, wasInterrupted }: Spending,
): Promise<RefreshResult | Overtaken> {
  const { oauth } = env
  const { clientName, clock } = oauth
  const { refreshToken, refreshTokenExpiresAt = Number.POSITIVE_INFINITY } = set
  if (refreshToken === undefined) {
    throw sessionEnded(clientName, (set.endedBecause as SessionEnd | undefined) ?? 'no_refresh_token')
  }
  if (clock.now() >= refreshTokenExpiresAt) {
    return end(env, lineage, { ask, set, reason: 'refresh_token_expired' })
  }
  const answer = await replayed(env, { ask, set, wasInterrupted }).catch(async (error) => {
    if (set.claimedUntil !== undefined) await unclaimed(ask.session, set)
    throw error
  })
  if ('reason' in answer) return end(env, lineage, { ask, set, ...answer })
  const { token } = answer.response
  const { shape, scope } = ask.request
  const missing = oauth.acceptsNarrowedScope ? undefined : missingScope(scope, token.scope)
  const isGranted = missing === undefined
  const next = await withClaims(env, refreshedSet(set, { ...answer, shape, isGranted, now: clock.now() }))
  const kept = await persist(env, lineage, { ask, before: set, next })
  // Not before: nobody gets what is not durable.
  lineage.learned(kept)
  // The refresh has said so itself, or taken too long.
  if (hasExpired(kept, clock.now())) throw sessionEnded(clientName, 'session_expired')
  tellOfEnd(env, kept)
  // The session goes on; this request does not get what it needs.
  if (!isGranted) throw notGranted(clientName, scope, missing)
  // Another process has written a newer set: its token is as good.
  return { set: kept, token: kept === next ? token : (lineage.fresh(kept, ask) ?? token), cache: 'miss' }
}

/** Why a refresh token is dead. */
interface Death {
  readonly reason: 'refresh_token_rejected' | 'refresh_token_lost'
  readonly cause: unknown
}

/** One request, and one more at once where its answer got lost: servers take a refresh token twice within a few seconds, if at all. */
async function replayed(env: SessionEnvironment, spending: Spending): Promise<RefreshAnswer | Death> {
  const { memory, closing } = env
  const { ask, set } = spending
  let { wasInterrupted } = spending
  if (closing.isOver) throw closedError()
  const isNoted = await memory.beginRefresh(set, spentBy(env))
  // Where nothing can be noted there will be no successor either, and a cookie of before would be all that others have.
  if (!isNoted && ask.session.kind === 'carried') throw noTurn()
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
        if (tries === 1 && env.replays && isWorthReplay(closing, error)) continue
        // Whoever comes next need not wait: nobody spends it any more.
        await memory.beginRefresh(set, env.oauth.clock.now())
        throw error
      }
      // It was spent by us, or by a process that was killed before it could keep the answer.
      if (failure === 'rejected') {
        return { reason: wasInterrupted ? 'refresh_token_lost' : 'refresh_token_rejected', cause: error }
      }
      await memory.endRefresh(set)
      if (failure === 'doubtful') throw sessionEnded(env.oauth.clientName, 'refresh_doubtful', error)
      throw error
    }
  }
}

/** Whoever closes waits until an answer that got lost is asked for again, but not for a server that has had all its time. */
function isWorthReplay({ hasBegun, isOver }: Closing, error: unknown): boolean {
  return !(isOver || (hasBegun && error instanceof TransportError && error.code === 'timeout'))
}

/** With tokens that live until then. */
function tellOfEnd({ telemetry, oauth }: SessionEnvironment, set: TokenSet): void {
  const expiresAt = signInBy(set)
  if (expiresAt === undefined || set.accessTokens.some(({ token }) => token.expiresAt < expiresAt)) return
  telemetry.note({ name: 'session_expiring', client: oauth.clientName, expiresAt })
}

function notGranted(clientName: string, scope: string | undefined, missing: string): Error {
  return new TokenResponseError(
    `client "${clientName}": expected scope "${scope}" to be granted, got a token without "${missing}"`,
    { code: 'insufficient_granted_scope', missingScope: missing },
  )
}
