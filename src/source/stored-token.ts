import { type AccessToken, createAccessToken, isTokenText } from '../token/index.ts'

/** Entries of another version are passed over. */
const VERSION = 1
/** A token is passed over for the last tenth of its life, 10 s at the most: its finder would have to renew it at once. */
const LAST_SHARE = 1 / 10
const LAST_MS = 10_000

/** What is in the place of a token: the token and when it was obtained, or when it was deleted. */
export type StoredEntry =
  | { readonly kind: 'token'; readonly token: AccessToken; readonly obtainedAt: number }
  | { readonly kind: 'deleted'; readonly deletedAt: number }

/** A token and its age, as they are written. */
export interface ObtainedToken {
  readonly token: AccessToken
  /** When it was obtained, in milliseconds since the epoch. */
  readonly obtainedAt: number
}

/** An entry of a store: plain data, with whom it is for. */
export function tokenEntry(identity: string, { token, obtainedAt }: ObtainedToken): object {
  const { accessToken, tokenType, expiresAt, scope, jkt, certificateThumbprint } = token
  const bound = { jkt, certificateThumbprint }
  return { version: VERSION, identity, accessToken, tokenType, obtainedAt, expiresAt, scope, ...bound }
}

/** The mark of a deletion, for others who have the token in memory. */
export function deletionEntry(identity: string, deletedAt: number): object {
  return { version: VERSION, identity, deletedAt }
}

/** For whom an entry is to be, and what the time is. */
export interface EntryContext {
  /** Names the token among all others; an entry of another one is none, whatever it is called in the store. */
  readonly identity: string
  readonly now: number
}

/** Reads an entry; `undefined` for one that is dying or of another identity, `malformed` for what this library does not write. */
export function entryFrom(value: unknown, context: EntryContext): StoredEntry | 'malformed' | undefined {
  const members = Object(value) as Record<string, unknown>
  const { version, identity, deletedAt, accessToken, tokenType, obtainedAt, expiresAt, scope } = members
  const { jkt, certificateThumbprint } = members
  if (version !== VERSION) return 'malformed'
  if (identity !== context.identity) return undefined
  if (isInstant(deletedAt)) return { kind: 'deleted', deletedAt }
  // A token is bound to a key or it is not (RFC 9449 section 7); what is neither was not written here.
  const boundType = jkt === undefined ? 'Bearer' : 'DPoP'
  if (!isTokenText(accessToken) || tokenType !== boundType || !isInstant(obtainedAt) || !isInstant(expiresAt)) {
    return 'malformed'
  }
  if (!isTextOrAbsent(scope) || !isTextOrAbsent(jkt) || !isTextOrAbsent(certificateThumbprint)) return 'malformed'
  const dies = deathOf({ obtainedAt, expiresAt }, context.now)
  if (dies === undefined) return undefined
  const bound = { jkt, certificateThumbprint }
  const token = createAccessToken({ accessToken, tokenType: boundType, expiresAt: dies, scope, ...bound })
  return { kind: 'token', token, obtainedAt }
}

function isInstant(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function isTextOrAbsent(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string'
}

/**
 * When a stored token dies by this machine's clock: of two clocks that differ, the shorter view wins, so a token never has more
 * to live than it had when it was obtained.
 */
function deathOf(
  { obtainedAt, expiresAt }: Record<'obtainedAt' | 'expiresAt', number>,
  now: number,
): number | undefined {
  const lifetimeMs = expiresAt - obtainedAt
  const dies = Math.min(expiresAt, now + lifetimeMs)
  return now < dies - Math.min(LAST_MS, lifetimeMs * LAST_SHARE) ? dies : undefined
}
