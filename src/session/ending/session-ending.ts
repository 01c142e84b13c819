import { StoreError, type TokenRequest } from '../../token/index.ts'
import { withDeadline } from '../../util/index.ts'
import { forbidSuccessors } from '../refresh/forbid-successors.ts'
import { noTurn } from '../refresh/in-turn.ts'
import { followed } from '../refresh/latest-set.ts'
import type { Lineage } from '../refresh/lineage.ts'
import { sessionEnded } from '../session-end.ts'
import type { SessionTokens } from '../session-tokens.ts'
import { END_MARGIN, endedSet, newestOf, signedOutSet } from '../token-set/set-decisions.ts'
import { changedSet, type TokenSet } from '../token-set/token-set.ts'
import type { UserClient } from '../user-client.ts'
import { revokeSet } from './revocation.ts'

/** A session that is to end. */
export interface EndingSession {
  readonly client: UserClient
  readonly session: SessionTokens
  readonly lineage: Lineage
  /** The newest that is known of it without a look. */
  readonly known: TokenSet | undefined
}

/** So often a session is ended that others go on refreshing. */
const MAX_TRIES = 5
/** Instead of the usual margin, for a session that goes on with its access tokens and must not seem newer than the next sign-in. */
const REVOKED_MARGIN = 10

/** Ends a session here and in the whole fleet, and has the server take back its tokens as well as that can be done. */
export async function signOut(ending: EndingSession, request: TokenRequest | undefined): Promise<void> {
  const { client, session, lineage } = ending
  const { env, name } = client
  // What a request carries is at hand; the machine that it was begun on may be ahead of this one.
  const known = session.kind === 'carried' ? newestOf(await session.load(), ending.known) : ending.known
  // First of all: from now on nothing that comes for it is kept, here or elsewhere.
  const generation = Math.max(Math.floor(env.oauth.clock.now()), (known?.generation ?? 0) + END_MARGIN)
  const writing = writeEnd(ending, generation)
  lineage.endWith('signed_out', generation, writing)
  const last = await writing
  env.telemetry.note({ name: 'session_ended', client: name, reason: 'signed_out' })
  await settledInTime(ending)
  if (last !== undefined) await revokeSet(env, last, request)
}

/** A refresh that is under way revokes what it brings, whenever that is; one that hangs is not waited for longer than one request may take. */
async function settledInTime({ client: { env }, lineage }: EndingSession): Promise<void> {
  const { oauth, deadlineMs: ms } = env
  const late = noTurn()
  const settled = withDeadline(() => lineage.settled(), { clock: oauth.clock, ms, error: () => late })
  await settled.catch((error) => {
    if (error !== late) throw error
  })
}

/** Writes the end where other processes look; gives the last set that was there. */
async function writeEnd(ending: EndingSession, generation: number): Promise<TokenSet | undefined> {
  const { client, session, lineage } = ending
  await client.env.memory.markEnded(lineage.id, generation)
  // Whoever has written before this is told of here, and whoever writes after it sees the mark.
  const sets = await knownSets(ending)
  const last = sets.at(-1)
  if (last !== undefined && session.kind === 'carried') {
    await forbidSuccessors(client.env, sets, signedOutSet(last))
  }
  await session.clear()
  return last
}

/** Every set of a session that is known, the newest last: whoever carries it may carry one of before. */
async function knownSets({ client, session, known }: EndingSession): Promise<readonly TokenSet[]> {
  const loaded = await session.load()
  const latest = newestOf(loaded, known)
  if (latest === undefined) return []
  if (session.kind !== 'carried') return [latest]
  const { sets } = await followed(client.env, latest)
  return loaded === undefined || loaded === latest ? sets : [loaded, ...sets]
}

/**
 * Has the server take back the refresh token, while nobody refreshes; gives what is left of the session: access tokens go on until they expire or are
 * taken back with it.
 *
 * @throws SessionError where there is none; StoreError with code `session_contended`.
 */
export function revoke(ending: EndingSession, request: TokenRequest | undefined): Promise<TokenSet> {
  const { client, lineage } = ending
  const { env, name } = client
  return lineage.exclusively(async () => {
    const { before, left } = await (ending.session.kind === 'carried' ? endCarried : endByComparison)(ending)
    if (before.refreshToken === undefined) return left
    await revokeSet(env, changedSet(before, { accessTokens: [] }), request)
    env.telemetry.note({ name: 'session_ended', client: name, reason: 'revoked' })
    return left
  })
}

/** A session before its refresh token was taken back, and after. */
interface Revoked {
  readonly before: TokenSet
  readonly left: TokenSet
}

/** Writes the end of a session that is carried: whoever refreshes it meanwhile finds the mark, and whoever has a cookie of before what is left. */
async function endCarried(ending: EndingSession): Promise<Revoked> {
  const { client, session, lineage } = ending
  const { env, name } = client
  const { memory, oauth } = env
  const known = (await knownSets(ending)).at(-1)
  if (known === undefined || lineage.end !== undefined) throw sessionEnded(name, lineage.end ?? 'no_session')
  if (known.refreshToken === undefined) return { before: known, left: known }
  const mark = known.generation + REVOKED_MARGIN
  await memory.markEnded(lineage.id, mark)
  const sets = await knownSets({ ...ending, known })
  const before = sets.at(-1) ?? known
  // What is left is not over: its access tokens may be used until they expire.
  const left = changedSet(endedSet(before, 'revoked', oauth.clock.now()), { generation: mark + 1 })
  await forbidSuccessors(env, sets, left)
  if (!(await session.save(left))) throw contended(name)
  lineage.learned(left)
  return { before, left }
}

/** Writes the end of a session after the last refresh of it. */
async function endByComparison(ending: EndingSession): Promise<Revoked> {
  const { client, session, lineage, known } = ending
  const { name, env } = client
  let latest = newestOf(known, lineage.held)
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const before = (await knownSets({ ...ending, known: latest })).at(-1)
    if (before === undefined || lineage.end !== undefined) throw sessionEnded(name, lineage.end ?? 'no_session')
    if (before.refreshToken === undefined) return { before, left: before }
    const left = endedSet(before, 'revoked', env.oauth.clock.now())
    if (await session.save(left)) {
      lineage.learned(left)
      return { before, left }
    }
    // Another process has refreshed it meanwhile.
    latest = lineage.held
  }
  throw contended(name)
}

function contended(clientName: string): StoreError {
  return new StoreError(`client "${clientName}": expected to end the session, got a newer one`, {
    code: 'session_contended',
  })
}
