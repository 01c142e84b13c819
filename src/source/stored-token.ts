import { type AccessToken, createAccessToken, isTokenText } from '../token/index.ts'

/** Entries of another version are passed over. */
const VERSION = 1
/** A token is passed over for the last tenth of its life, 10 s at the most: its finder would have to renew it at once. */
const LAST_SHARE = 1 / 10
const LAST_MS = 10_000

/** What stands in the place of a token that was deleted, so that others who have it in memory hear of that. */
export const DELETED = 'deleted'

/** An entry of a store: plain data, with the instant at which the token's life was measured and whom it is for. */
export function tokenEntry(token: AccessToken, { identity, now }: EntryContext): object {
  const { accessToken, tokenType, expiresAt, scope, jkt, certificateThumbprint } = token
  const bound = { jkt, certificateThumbprint }
  return { version: VERSION, identity, accessToken, tokenType, storedAt: now, expiresAt, scope, ...bound }
}

/** The mark of a deletion. */
export function deletionEntry({ identity, now }: EntryContext): object {
  return { version: VERSION, identity, deletedAt: now }
}

/** For whom an entry is, and what the time is. */
export interface EntryContext {
  /** Names the token among all others; an entry of another one is none, whatever it is called in the store. */
  readonly identity: string
  readonly now: number
}

/** The token in an entry, or the mark of its deletion; `undefined` for one that is dying, or not what this library writes. */
export function tokenFrom(entry: unknown, context: EntryContext): AccessToken | typeof DELETED | undefined {
  const members = Object(entry) as Record<string, unknown>
  const { version, identity, deletedAt, accessToken, tokenType, storedAt, expiresAt, scope } = members
  const { jkt, certificateThumbprint } = members
  if (version !== VERSION || identity !== context.identity) return undefined
  if (typeof deletedAt === 'number') return DELETED
  if (!isTokenText(accessToken)) return undefined
  // A token is bound to a key or it is not (RFC 9449 section 7); what is neither was not written here.
  const boundType = jkt === undefined ? 'Bearer' : 'DPoP'
  if (tokenType !== boundType) return undefined
  if (!isTextOrAbsent(scope) || !isTextOrAbsent(jkt) || !isTextOrAbsent(certificateThumbprint)) return undefined
  const dies = deathOf({ storedAt, expiresAt }, context.now)
  if (dies === undefined) return undefined
  return createAccessToken({ accessToken, tokenType: boundType, expiresAt: dies, scope, jkt, certificateThumbprint })
}

function isTextOrAbsent(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string'
}

/**
 * When a stored token dies by this machine's clock: of two clocks that differ, the shorter view wins, so a token never has more
 * to live than it had when it was stored.
 */
function deathOf({ storedAt, expiresAt }: { storedAt: unknown; expiresAt: unknown }, now: number): number | undefined {
  if (typeof storedAt !== 'number' || typeof expiresAt !== 'number') return undefined
  const lifetimeMs = expiresAt - storedAt
  const dies = Math.min(expiresAt, now + lifetimeMs)
  return now < dies - Math.min(LAST_MS, lifetimeMs * LAST_SHARE) ? dies : undefined
}
