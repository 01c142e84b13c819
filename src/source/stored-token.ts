import { type AccessToken, createAccessToken } from '../token/index.ts'

/** Entries of another version are passed over. */
const VERSION = 1

/** A token as it rests in a store. */
export function storedText({ accessToken, tokenType, expiresAt, scope, jkt }: AccessToken): string {
  return JSON.stringify({ version: VERSION, accessToken, tokenType, expiresAt, scope, jkt })
}

/** The token in an entry; `undefined` for one that is missing, dead, or not what this library writes. */
export function parseStoredToken(text: unknown, now: number): AccessToken | undefined {
  if (typeof text !== 'string') return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const { version, accessToken, tokenType, expiresAt, scope, jkt } = Object(value) as Record<string, unknown>
  if (version !== VERSION || typeof accessToken !== 'string' || accessToken === '') return undefined
  // A token that is bound to a key needs that key, which no store holds.
  if (tokenType !== 'Bearer' || jkt !== undefined) return undefined
  if (typeof expiresAt !== 'number' || !(expiresAt > now)) return undefined
  if (scope !== undefined && typeof scope !== 'string') return undefined
  return createAccessToken({ accessToken, tokenType, expiresAt, scope })
}
