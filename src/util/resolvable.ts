/** A value or a promise of it. */
export type Awaitable<T> = T | PromiseLike<T>

/** A value, or a function that gives it when it is needed (rotating secrets and keys). */
export type Resolvable<T> = T | (() => Awaitable<T>)

/** The value itself, asked for now. */
export async function resolve<T extends string | object>(value: Resolvable<T>): Promise<T> {
  return typeof value === 'function' ? (value as () => Awaitable<T>)() : value
}
