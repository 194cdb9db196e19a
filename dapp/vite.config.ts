import { defineConfig } from 'vitest/config';

// Where the API of a local King or devnet listens while developing.
const api = process.env['GPUMKT_API'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: 'es2022',
    outDir: 'dist',
    assetsDir: 'assets',
    // Inlined assets would need `data:` in the content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    manifest: 'manifest.json',
    reportCompressedSize: false,
    sourcemap: false,
  },
  server: { proxy: { '/api': { target: api } } },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
});
