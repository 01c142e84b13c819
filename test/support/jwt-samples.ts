import { SignJWT } from 'jose'
import { type SigningAlg, testKey } from './keys.ts'

/** The instant at which a test clock starts, in seconds. */
export const START_SECONDS: number = Date.UTC(2026, 0, 1) / 1000

/** A signed JWT with these claims, as a platform makes them. */
export async function jwtOf(claims: Readonly<Record<string, unknown>>, alg: SigningAlg = 'ES256'): Promise<string> {
  const { keyObject, kid } = await testKey(alg)
  return new SignJWT({ ...claims }).setProtectedHeader({ alg, kid }).sign(keyObject)
}
