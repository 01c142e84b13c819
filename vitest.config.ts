import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string): string => fileURLToPath(new URL(`src/${path}`, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^evertoken\/(.+)$/, replacement: source('$1/index.ts') },
      { find: /^evertoken$/, replacement: source('index.ts') },
    ],
  },
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['test/support/build-once.ts'],
    testTimeout: 30_000,
    // Only the tests of test/chaos run at the same time within a file, and they mostly wait.
    maxConcurrency: 8,
    dangerouslyIgnoreUnhandledErrors: false,
    // A snapshot that is missing fails like one that differs; `--update` writes both.
    update: 'none',
  },
})
