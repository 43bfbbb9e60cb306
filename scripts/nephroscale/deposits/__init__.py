"""Electron-dense deposits in TEM images, by the multi-model of Zhang and Zhang 2023."""
