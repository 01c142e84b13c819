import { type AccessToken, createAccessToken, isTokenText } from '../token/index.ts'

/** Entries of another version are passed over. */
const VERSION = 1
/** A token is passed over for the last tenth of its life, 10 s at the most: its finder would have to renew it at once. */
const LAST_SHARE = 1 / 10
const LAST_MS = 10_000

/** A token as it rests in a store, with the instant at which its life was measured. */
export function storedText(token: AccessToken, now: number): string {
  const { accessToken, tokenType, expiresAt, scope, jkt, certificateThumbprint } = token
  const bound = { jkt, certificateThumbprint }
  return JSON.stringify({ version: VERSION, accessToken, tokenType, storedAt: now, expiresAt, scope, ...bound })
}

/** The token in an entry; `undefined` for one that is missing, dying, or not what this library writes. */
export function parseStoredToken(text: unknown, now: number): AccessToken | undefined {
  if (typeof text !== 'string') return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const members = Object(value) as Record<string, unknown>
  const { version, accessToken, tokenType, storedAt, expiresAt, scope, jkt, certificateThumbprint } = members
  if (version !== VERSION || !isTokenText(accessToken)) return undefined
  // A token is bound to a key or it is not (RFC 9449 section 7); what is neither was not written here.
  const boundType = jkt === undefined ? 'Bearer' : 'DPoP'
  if (tokenType !== boundType) return undefined
  if (!isTextOrAbsent(scope) || !isTextOrAbsent(jkt) || !isTextOrAbsent(certificateThumbprint)) return undefined
  const dies = deathOf({ storedAt, expiresAt }, now)
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
