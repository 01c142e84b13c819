import type { KeyObject } from 'node:crypto'
import { generateProof } from 'dpop'
import * as openid from 'openid-client'
import type { ProofOf, ProofWork } from './proof.ts'

type CryptoKeyPair = openid.CryptoKeyPair

/** The keys as the peers take them. */
export async function cryptoKeysOf(privateKey: KeyObject, publicKey: KeyObject): Promise<CryptoKeyPair> {
  const parameters =
    privateKey.asymmetricKeyType === 'ec' ? { name: 'ECDSA', namedCurve: 'P-256' } : { name: 'Ed25519' }
  const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' })
  const spki = publicKey.export({ format: 'der', type: 'spki' })
  return {
    privateKey: await crypto.subtle.importKey('pkcs8', pkcs8, parameters, false, ['sign']),
    publicKey: await crypto.subtle.importKey('spki', spki, parameters, true, ['verify']),
  }
}

/** The package `dpop`. */
export function ofDpop(keys: CryptoKeyPair, { method, url, nonce, accessToken }: ProofOf): ProofWork {
  return async (calls) => {
    for (let call = 0; call < calls; call++) await generateProof(keys, url, method, nonce, accessToken)
  }
}

/** What openid-client calls for every request: the handle's own method, which is oauth4webapi's and in no declaration. */
interface ProvingHandle {
  addProof(url: URL, headers: Headers, method: string, accessToken: string): Promise<void>
  cacheNonce(response: Response, url: URL): void
}

/** The handle of openid-client, whose proofs oauth4webapi makes. */
export function ofOpenidClient(keys: CryptoKeyPair, { method, url, nonce, accessToken }: ProofOf): ProofWork {
  const configuration = new openid.Configuration({ issuer: 'https://as.example' }, 'bench')
  const handle: unknown = openid.getDPoPHandle(configuration, keys)
  const proving = handle as ProvingHandle
  const target = new URL(url)
  const headers = new Headers()
  proving.cacheNonce(new Response(null, { headers: { 'dpop-nonce': nonce } }), target)
  return async (calls) => {
    for (let call = 0; call < calls; call++) await proving.addProof(target, headers, method, accessToken)
  }
}
