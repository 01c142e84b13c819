import type { Signer } from './signer.ts'
import { signerFrom } from './signer-from.ts'
import { nodeCrypto } from './synchronous-signer.ts'

/** Makes an ES256 key that never leaves this process, and gives what signs with it. */
export async function generateSigner(): Promise<Signer> {
  // Node's faster way has to see the key once; the platform's own object is dropped after that.
  const isSeen = nodeCrypto() !== undefined
  return signerFrom(await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, isSeen, ['sign', 'verify']))
}
