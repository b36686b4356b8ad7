"""How one MP3 is made: yt-dlp and ffmpeg in processes of their own.

It promises a whole file of the asked video or the true reason why there is none, and that no process, file or
descriptor outlives the attempt. It knows neither queue nor clients: it reports to the job that it works for.

May import: storage.
"""
