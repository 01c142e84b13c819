import { base64url } from '../util/index.ts'
import type { Signer } from './signer.ts'

/** Signs claims into a compact JWS (RFC 7515 section 3.1, RFC 7519). `alg` and `kid` come from the signer. */
export async function signJwt(
  signer: Pick<Signer, 'alg' | 'kid' | 'sign'>,
  {
    typ,
    claims,
    signal,
  }: { typ?: string | undefined; claims: Readonly<Record<string, unknown>>; signal?: AbortSignal | undefined },
): Promise<string> {
  const header = { alg: signer.alg, typ, kid: signer.kid }
  const input = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(claims))}`
  const signature = await signer.sign(new TextEncoder().encode(input), { signal })
  return `${input}.${base64url(signature)}`
}
