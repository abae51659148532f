def draw(judged, about):
    return ""
