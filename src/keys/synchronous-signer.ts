import type { Signer } from './signer.ts'

/** What is used of `node:crypto`, so that no import of Node is needed. */
export interface NodeCrypto {
  readonly sign: NodeSign<object>
  readonly createPrivateKey: (key: { readonly key: object; readonly format: 'jwk' }) => object
  readonly createHash: (name: string) => { update(text: string): { digest(encoding: 'base64url'): string } }
}

type NodeSign<Key> = (hash: string | null, data: Uint8Array, input: NodeSignInput<Key>) => Uint8Array

interface NodeSignInput<Key> {
  readonly key: Key
  readonly dsaEncoding: 'ieee-p1363'
}

interface NodeProcess {
  readonly versions?: Readonly<Record<string, string | undefined>>
  getBuiltinModule?(name: string): unknown
}

/**
 * Node's own crypto where this is Node, which signs with EC and Ed25519 keys while one waits, in a third of the time that Web Cryptography
 * takes. Not an import: what runs elsewhere must not look for it.
 */
export function nodeCrypto(): NodeCrypto | undefined {
  const { process } = globalThis as { readonly process?: NodeProcess }
  const { node, bun, deno } = process?.versions ?? {}
  if (node === undefined || bun !== undefined || deno !== undefined) return undefined
  return process?.getBuiltinModule?.('node:crypto') as NodeCrypto | undefined
}

/** Signatures that are there when `sign` returns, with an EC or Ed25519 key of Node. */
export function synchronousSign<Key>(sign: NodeSign<Key>, key: Key, alg: string): (data: Uint8Array) => Uint8Array {
  const hash = alg.startsWith('ES') ? `sha${alg.slice('ES'.length)}` : null
  const input: NodeSignInput<Key> = { key, dsaEncoding: 'ieee-p1363' }
  return (data) => sign(hash, data, input)
}

/** By function: whoever puts another one in its place, to watch it say, has a signer that nothing is known of. */
const synchronous = /* @__PURE__ */ new WeakSet<Signer['sign']>()

/** Takes note that a signer is done with its input when `sign` returns, so that the next input may take its place in memory. */
export function markSynchronous<S extends Pick<Signer, 'sign'>>(signer: S): S {
  synchronous.add(signer.sign)
  return signer
}

/** Whether a signer is done with its input when `sign` returns. */
export function isSynchronous({ sign }: Pick<Signer, 'sign'>): boolean {
  return synchronous.has(sign)
}
