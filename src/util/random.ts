/** A number in [0, 1) from the platform's secure source, which is the only one used here. */
export type Random = () => number

export const secureRandom: Random = () => (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) / 2 ** 32
